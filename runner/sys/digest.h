// Hashes and encodings, by OpenSSL.
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace relight::sys {

std::string sha256_hex(std::string_view bytes);
std::string sha256_file(const std::string& path);  // hex; throws Error

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void add(std::string_view bytes);
  std::string hex();  // ends it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_hex(std::string_view bytes);
bool from_hex(std::string_view text, std::string& bytes);  // false: not hex
std::string to_base64(std::string_view bytes);
bool from_base64(std::string_view text, std::string& bytes);  // strict, with padding; false: not base64
std::string random_hex(std::size_t bytes);
std::string pbkdf2_sha256(std::string_view secret, std::string_view salt, int iterations, std::size_t length);

// AES-256-GCM. `sealed` = nonce (12 bytes), ciphertext, tag (16 bytes). False: not authentic, or too short.
bool open_aes_256_gcm(std::string_view key, std::string_view sealed, std::string_view aad,
                      std::string& plain);
std::string seal_aes_256_gcm(std::string_view key, std::string_view plain, std::string_view aad);

}  // namespace relight::sys
