#include "steps/key/lib/fingerprint.h"

#include <openssl/crypto.h>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/key/lib/key_bytes.h"

namespace relight {
namespace {

constexpr const char* format = "recovery-set/1";
constexpr std::size_t hash_bytes = 32;
constexpr int most_iterations = 20'000'000;  // about 6 s: a damaged count must not hang a plan

Fingerprint fingerprint_of(const Json& json) {
  Fingerprint fingerprint;
  if (json.at("algorithm") != "pbkdf2-sha256") throw std::runtime_error("its algorithm is not pbkdf2-sha256");
  fingerprint.encoding = json.value("encoding", "auto");
  const Json& iterations = json.at("iterations");
  if (!iterations.is_number_unsigned() || iterations < 1 || iterations > most_iterations)
    throw std::runtime_error("its count of iterations is out of bounds");
  fingerprint.iterations = iterations.get<int>();
  fingerprint.hash = json.at("hash").get<std::string>();
  std::string bytes;
  if (!sys::from_hex(fingerprint.hash, bytes) || bytes.size() != hash_bytes)
    throw std::runtime_error("its hash is not 64 hex digits");
  if (!sys::from_hex(json.at("salt").get<std::string>(), fingerprint.salt) || fingerprint.salt.empty())
    throw std::runtime_error("its salt is not hex");
  return fingerprint;
}

}  // namespace

Json fingerprint_json(std::string_view key_text, const std::string& encoding, const std::string& name,
                      const std::string& unique) {
  constexpr int iterations = 600'000;
  constexpr std::size_t salt_digits = 32;
  const std::string bytes = key_bytes(key_text, encoding, std::nullopt, name);
  const std::string salt_hex = sys::sha256_hex("salt\n" + unique + "\n" + name).substr(0, salt_digits);
  std::string salt;
  sys::from_hex(salt_hex, salt);
  return {{"encoding", encoding},
          {"algorithm", "pbkdf2-sha256"},
          {"iterations", iterations},
          {"salt", salt_hex},
          {"hash", sys::to_hex(sys::pbkdf2_sha256(bytes, salt, iterations, hash_bytes))}};
}

std::map<std::string, Fingerprint> read_fingerprints(const std::string& file) {
  const std::string text = sys::read_file(file);
  std::map<std::string, Fingerprint> fingerprints;
  std::string name;
  try {
    const Json json = sys::parse_json(text);
    if (!json.is_object()) throw std::runtime_error("it is not a JSON object");
    if (json.at("format") != format) throw std::runtime_error("its format is not " + std::string(format));
    const Json recorded = json.value("fingerprints", Json::object());
    for (auto it = recorded.begin(); it != recorded.end(); ++it) {
      name = it.key();
      fingerprints[name] = fingerprint_of(*it);
    }
  } catch (const std::exception& error) {
    throw Error(ErrorKind::refused, "cannot read the fingerprints", file,
                (name.empty() ? "" : name + ": ") + std::string(error.what()),
                "`fingerprints` is the backup.json of the recovery set");
  }
  return fingerprints;
}

bool has_fingerprint(std::string_view key_text, const Fingerprint& fingerprint) {
  std::string wanted;
  sys::from_hex(fingerprint.hash, wanted);
  for (const std::string& key : key_meanings(key_text, fingerprint.encoding, std::nullopt)) {
    const std::string hash = sys::pbkdf2_sha256(key, fingerprint.salt, fingerprint.iterations, hash_bytes);
    if (hash.size() == wanted.size() && CRYPTO_memcmp(hash.data(), wanted.data(), hash.size()) == 0)
      return true;
  }
  return false;
}

}  // namespace relight
