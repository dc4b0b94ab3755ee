// The check value of a secret, as a recovery set holds it: salted and stretched, so that it tells a wrong
// secret and helps nobody to guess the right one.
#pragma once
#include <string>
#include <string_view>

#include "runner/sys/json.h"

namespace relight {

struct CheckValue {
  int iterations = 0;
  std::string salt;  // bytes
  std::string hash;  // hex, as recorded
};

// {"algorithm", "iterations", "salt", "hash"}: PBKDF2-HMAC-SHA256 of 600,000 iterations. `unique`: what no
// other check value was made with; the salt is a hash of it.
Json check_value_json(std::string_view secret, const std::string& unique);

// Throws a std::exception that says what is wrong with it.
CheckValue read_check_value(const Json& json);

bool matches(std::string_view secret, const CheckValue& value);

}  // namespace relight
