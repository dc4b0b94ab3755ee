// The fingerprints of keys that a backup recorded: salted and stretched, so that they tell a wrong key and
// help nobody to guess a right one.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace relight {

struct Fingerprint {
  std::string encoding;  // of the key's text: base64, hex or raw
  int iterations = 0;
  std::string salt;  // bytes
  std::string hash;  // hex, as recorded
};

// `fingerprints` of a backup.json, by the key's name. A refused Error names what is wrong in which file.
std::map<std::string, Fingerprint> read_fingerprints(const std::string& file);

// Does a key, as it is written, have this fingerprint? PBKDF2-HMAC-SHA256 over its decoded bytes.
bool has_fingerprint(std::string_view key_text, const Fingerprint& fingerprint);

}  // namespace relight
