#include "steps/key/lib/key_bytes.h"

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight {

std::vector<std::string> key_meanings(std::string_view text, const std::string& encoding,
                                      std::optional<std::size_t> bytes) {
  std::vector<std::string> found;
  const auto add = [&](std::string meaning) {
    if (!meaning.empty() && (!bytes || meaning.size() == *bytes)) found.push_back(std::move(meaning));
  };
  const bool any = encoding == "auto";
  const std::string line = sys::trim(text);
  if (line.empty()) return found;
  std::string decoded;
  if ((any || encoding == "hex") && sys::from_hex(line, decoded)) add(decoded);
  decoded.clear();
  if ((any || encoding == "base64") && sys::from_base64(line, decoded)) add(decoded);
  if (any || encoding == "raw") {
    add(std::string(text));
    std::string_view shorter = text;
    if (shorter.ends_with('\n')) shorter.remove_suffix(1);
    if (shorter.ends_with('\r')) shorter.remove_suffix(1);
    if (shorter.size() != text.size()) add(std::string(shorter));
  }
  return found;
}

std::string key_bytes(std::string_view text, const std::string& encoding, std::optional<std::size_t> bytes,
                      const std::string& name) {
  std::vector<std::string> meanings = key_meanings(text, encoding, bytes);
  if (!meanings.empty()) return std::move(meanings.front());
  std::string why = sys::trim(text).empty() ? "it is empty" : "it is not ";
  if (why != "it is empty") {
    why += bytes ? std::to_string(*bytes) + " bytes" : "a key";
    why += encoding == "auto" ? ", in hex, base64 or raw" : encoding == "raw" ? ", raw" : " in " + encoding;
  }
  throw Error(ErrorKind::refused, "not the key that was expected", name, why,
              "check that the right key was given, and `encoding` and `bytes`");
}

}  // namespace relight
