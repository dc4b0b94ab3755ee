// Sealing, hashing and encodings, by OpenSSL. Every function throws std::runtime_error when OpenSSL fails.
//
// A sealed value (column vault.sealed) is an envelope: a data key of its own, sealed under the master key,
// and the text, sealed under the data key. AES-256-GCM for both, no additional data:
//
//   offset  bytes
//   0       1    version, 0x01
//   1       12   key nonce
//   13      32   the data key, encrypted under the master key
//   45      16   tag of the data key
//   61      12   nonce
//   73      n    the text, encrypted under the data key
//   73+n    16   tag of the text
//
// The master key can so be changed without touching a text: only bytes 1 to 60 are made anew.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ember {

constexpr std::size_t key_bytes = 32;

std::string seal(std::string_view master_key, std::string_view text);
// Nothing: another key, or not what was sealed.
std::optional<std::string> open_sealed(std::string_view master_key, std::string_view sealed);

std::string random_bytes(std::size_t count);
std::string sha256_hex(std::string_view bytes);
std::string hmac_sha256_hex(std::string_view key, std::string_view text);
std::string pbkdf2_sha256(std::string_view secret, std::string_view salt, int iterations);  // 32 bytes
bool equal_in_constant_time(std::string_view a, std::string_view b);

std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view text);
std::optional<std::string> from_base64(std::string_view text);  // the standard alphabet, padded

// A SHA-256 over what is added.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::string_view bytes);
  std::string hex();

 private:
  void* context_;
};

}  // namespace ember
