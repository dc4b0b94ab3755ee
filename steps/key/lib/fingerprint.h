// The fingerprints of keys that a backup recorded: salted and stretched, so that they tell a wrong key and
// help nobody to guess a right one.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "runner/sys/json.h"

namespace relight {

struct Fingerprint {
  std::string encoding;  // of the key's text: base64, hex or raw
  int iterations = 0;
  std::string salt;  // bytes
  std::string hash;  // hex, as recorded
};

// What a recovery set holds of a key, made by PBKDF2 with 600,000 iterations. `unique`: what no other
// fingerprint was made with; its salt is a hash of it. A refused Error names the key where it is none.
Json fingerprint_json(std::string_view key_text, const std::string& encoding, const std::string& name,
                      const std::string& unique);

// `fingerprints` of a backup.json, by the key's name. A refused Error names what is wrong in which file.
std::map<std::string, Fingerprint> read_fingerprints(const std::string& file);

// Does a key, as it is written, have this fingerprint? PBKDF2-HMAC-SHA256 over its decoded bytes.
bool has_fingerprint(std::string_view key_text, const Fingerprint& fingerprint);

}  // namespace relight
