#include "steps/release/lib/checksums.h"

#include <algorithm>
#include <cctype>

#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight {

std::map<std::string, std::string> parse_checksums(const std::string& text, const std::string& file) {
  constexpr std::size_t digits = 64;
  std::map<std::string, std::string> sums;
  int number = 0;
  for (std::string line : sys::split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    // "HASH  NAME", or "HASH *NAME" for a file read in binary.
    std::string sum = line.substr(0, digits);
    const bool good = line.size() > digits + 2 && line[digits] == ' ' &&
                      (line[digits + 1] == ' ' || line[digits + 1] == '*') &&
                      std::all_of(sum.begin(), sum.end(), [](unsigned char c) { return std::isxdigit(c); });
    if (!good)
      throw Error(ErrorKind::refused, "cannot read the checksums", file,
                  "line " + std::to_string(number) + " is not \"SHA256  NAME\"",
                  "make the file again with sha256sum");
    std::transform(sum.begin(), sum.end(), sum.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string name = line.substr(digits + 2);
    if (name.starts_with("./")) name.erase(0, 2);
    sums[name] = sum;
  }
  return sums;
}

}  // namespace relight
