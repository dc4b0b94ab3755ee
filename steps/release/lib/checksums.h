// A SHA256SUMS file, as sha256sum writes it.
#pragma once
#include <map>
#include <string>

namespace relight {

// Name -> 64 lower-case hex digits; a leading "./" is taken off names. A line that is neither empty nor a
// sum is a refused Error that names the file and the line.
std::map<std::string, std::string> parse_checksums(const std::string& text, const std::string& file);

}  // namespace relight
