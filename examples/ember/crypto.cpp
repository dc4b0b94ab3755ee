#include "examples/ember/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <memory>
#include <stdexcept>

namespace ember {
namespace {

constexpr char envelope_version = 1;
constexpr std::size_t nonce_bytes = 12, tag_bytes = 16;
constexpr std::size_t sealed_key_bytes = nonce_bytes + key_bytes + tag_bytes;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

void must(bool worked, const char* what) {
  if (!worked) throw std::runtime_error(std::string("openssl: ") + what + " failed");
}

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// nonce | ciphertext | tag
std::string encrypt(std::string_view key, std::string_view text) {
  must(key.size() == key_bytes, "a key of another length: encrypt");
  std::string out = random_bytes(nonce_bytes);
  out.resize(nonce_bytes + text.size() + tag_bytes);
  Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int length = 0;
  must(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(out)) == 1,
       "EncryptInit");
  must(EVP_EncryptUpdate(cipher.get(), bytes(out) + nonce_bytes, &length, bytes(text),
                         static_cast<int>(text.size())) == 1,
       "EncryptUpdate");
  must(EVP_EncryptFinal_ex(cipher.get(), bytes(out) + nonce_bytes + length, &length) == 1, "EncryptFinal");
  must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, tag_bytes,
                           bytes(out) + nonce_bytes + text.size()) == 1,
       "GET_TAG");
  return out;
}

std::optional<std::string> decrypt(std::string_view key, std::string_view sealed) {
  if (key.size() != key_bytes || sealed.size() < nonce_bytes + tag_bytes) return std::nullopt;
  std::string_view body = sealed.substr(nonce_bytes, sealed.size() - nonce_bytes - tag_bytes);
  std::string tag(sealed.substr(sealed.size() - tag_bytes));
  std::string text(body.size(), '\0');
  Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int length = 0;
  must(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(sealed)) == 1,
       "DecryptInit");
  must(EVP_DecryptUpdate(cipher.get(), bytes(text), &length, bytes(body), static_cast<int>(body.size())) == 1,
       "DecryptUpdate");
  must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, tag_bytes, tag.data()) == 1, "SET_TAG");
  if (EVP_DecryptFinal_ex(cipher.get(), bytes(text) + length, &length) != 1) return std::nullopt;
  return text;
}

}  // namespace

std::string seal(std::string_view master_key, std::string_view text) {
  std::string data_key = random_bytes(key_bytes);
  std::string sealed = envelope_version + encrypt(master_key, data_key) + encrypt(data_key, text);
  OPENSSL_cleanse(data_key.data(), data_key.size());
  return sealed;
}

std::optional<std::string> open_sealed(std::string_view master_key, std::string_view sealed) {
  if (sealed.empty() || sealed[0] != envelope_version) return std::nullopt;
  if (sealed.size() < 1 + sealed_key_bytes + nonce_bytes + tag_bytes) return std::nullopt;
  auto data_key = decrypt(master_key, sealed.substr(1, sealed_key_bytes));
  if (!data_key) return std::nullopt;
  auto text = decrypt(*data_key, sealed.substr(1 + sealed_key_bytes));
  OPENSSL_cleanse(data_key->data(), data_key->size());
  return text;
}

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  must(RAND_bytes(bytes(out), static_cast<int>(count)) == 1, "RAND_bytes");
  return out;
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.add(text);
  return hash.hex();
}

std::string hmac_sha256_hex(std::string_view key, std::string_view text) {
  std::string out(32, '\0');
  unsigned length = 0;
  must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(text), text.size(), bytes(out),
            &length) != nullptr,
       "HMAC");
  return to_hex(out);
}

std::string pbkdf2_sha256(std::string_view secret, std::string_view salt, int iterations) {
  std::string out(32, '\0');
  must(PKCS5_PBKDF2_HMAC(secret.data(), static_cast<int>(secret.size()), bytes(salt),
                         static_cast<int>(salt.size()), iterations, EVP_sha256(), 32, bytes(out)) == 1,
       "PBKDF2");
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string to_hex(std::string_view text) {
  static const char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size() * 2);
  for (unsigned char byte : text) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string out(text.size() / 4 * 3, '\0');
  // EVP_DecodeBlock also takes blanks around the text and padding within it: neither is a key.
  if (text.substr(0, text.size() - padding).find_first_of("= \t\r\n") != text.npos) return std::nullopt;
  if (EVP_DecodeBlock(bytes(out), bytes(text), static_cast<int>(text.size())) < 0) return std::nullopt;
  out.resize(out.size() - padding);
  return out;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  must(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1, "DigestInit");
}
Sha256::~Sha256() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

void Sha256::add(std::string_view text) {
  must(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), text.data(), text.size()) == 1, "DigestUpdate");
}

std::string Sha256::hex() {
  std::string out(32, '\0');
  must(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), bytes(out), nullptr) == 1, "DigestFinal");
  return to_hex(out);
}

}  // namespace ember
