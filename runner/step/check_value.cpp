#include "runner/step/check_value.h"

#include <openssl/crypto.h>

#include <stdexcept>

#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

constexpr std::size_t hash_bytes = 32;
constexpr int most_iterations = 20'000'000;  // about 6 s: a damaged count must not hang a plan

}  // namespace

Json check_value_json(std::string_view secret, const std::string& unique) {
  constexpr int iterations = 600'000;
  constexpr std::size_t salt_digits = 32;
  const std::string salt_hex = sys::sha256_hex("salt\n" + unique).substr(0, salt_digits);
  std::string salt;
  sys::from_hex(salt_hex, salt);
  return {{"algorithm", "pbkdf2-sha256"},
          {"iterations", iterations},
          {"salt", salt_hex},
          {"hash", sys::to_hex(sys::pbkdf2_sha256(secret, salt, iterations, hash_bytes))}};
}

CheckValue read_check_value(const Json& json) {
  CheckValue value;
  if (json.at("algorithm") != "pbkdf2-sha256") throw std::runtime_error("its algorithm is not pbkdf2-sha256");
  const Json& iterations = json.at("iterations");
  if (!iterations.is_number_unsigned() || iterations < 1 || iterations > most_iterations)
    throw std::runtime_error("its count of iterations is out of bounds");
  value.iterations = iterations.get<int>();
  value.hash = json.at("hash").get<std::string>();
  std::string bytes;
  if (!sys::from_hex(value.hash, bytes) || bytes.size() != hash_bytes)
    throw std::runtime_error("its hash is not 64 hex digits");
  if (!sys::from_hex(json.at("salt").get<std::string>(), value.salt) || value.salt.empty())
    throw std::runtime_error("its salt is not hex");
  return value;
}

bool matches(std::string_view secret, const CheckValue& value) {
  std::string wanted;
  sys::from_hex(value.hash, wanted);
  const std::string hash = sys::pbkdf2_sha256(secret, value.salt, value.iterations, hash_bytes);
  return hash.size() == wanted.size() && CRYPTO_memcmp(hash.data(), wanted.data(), hash.size()) == 0;
}

}  // namespace relight
