// The fingerprints of keys that a backup recorded: the check values of their bytes.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "runner/step/check_value.h"
#include "runner/sys/json.h"

namespace relight {

struct Fingerprint : CheckValue {
  std::string encoding;  // of the key's text: base64, hex or raw
};

// What a recovery set holds of a key. `unique`: of the backup; the salt is a hash of it and the name. A
// refused Error names the key where it is none.
Json fingerprint_json(std::string_view key_text, const std::string& encoding, const std::string& name,
                      const std::string& unique);

// `fingerprints` of a backup.json, by the key's name. A refused Error names what is wrong in which file.
std::map<std::string, Fingerprint> read_fingerprints(const std::string& file);

// Does a key, as it is written, have this fingerprint? Compared over its decoded bytes.
bool has_fingerprint(std::string_view key_text, const Fingerprint& fingerprint);

}  // namespace relight
