// The SHA-256 manifest of a folder of blobs: what `sha256sum` writes and checks.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace relight::blobs {

using Hashes = std::map<std::string, std::string>;  // path, relative and without "./" -> SHA-256 in hex

// A line a file: 64 hex digits, a space, a space or '*', the path; a line that begins with '\' holds \\, \n
// and \r in its path. Empty lines and a CR before the newline are nothing. Anything else, a path that leaves
// its folder or is there twice: a refused Error that names the line.
Hashes parse_manifest(std::string_view text, const std::string& on);
Hashes read_manifest(const std::string& path);
std::string manifest_text(const Hashes& files);  // what parse_manifest reads

struct Differences {
  std::vector<std::string> missing, extra, different;  // each sorted

  bool any() const { return !missing.empty() || !extra.empty() || !different.empty(); }
};

// A hash that is empty in `found` was not taken: only the name counts.
Differences compare(const Hashes& manifest, const Hashes& found);

// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names);
// "different: a; missing: b; not in the manifest: c"
std::string show(const Differences& differences);

}  // namespace relight::blobs
