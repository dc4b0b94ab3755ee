#include "runner/sys/digest.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::sys {
namespace {

// OpenSSL fails here only when it is out of memory or broken.
void must(bool good, const char* what) {
  if (good) return;
  char reason[256] = "no reason given";
  if (unsigned long code = ERR_get_error()) ERR_error_string_n(code, reason, sizeof reason);
  throw Error(ErrorKind::permanent, what, "OpenSSL", reason);
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

constexpr std::size_t kNonce = 12, kTag = 16, kKey = 32;

struct Cipher {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  Cipher() { must(context != nullptr, "cannot encrypt"); }
  ~Cipher() { EVP_CIPHER_CTX_free(context); }
  Cipher(const Cipher&) = delete;
};

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  must(state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
       "cannot hash");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::add(std::string_view bytes) {
  must(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "cannot hash");
}

std::string Sha256::hex() {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  must(EVP_DigestFinal_ex(state_->context, bytes_of(digest), &size) == 1, "cannot hash");
  digest.resize(size);
  return to_hex(digest);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

std::string sha256_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot read", path);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> block(256u << 10);
  Sha256 hash;
  while (true) {
    ssize_t got = ::read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot read", path);
    if (got == 0) return hash.hex();
    hash.add({block.data(), static_cast<std::size_t>(got)});
  }
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

bool from_hex(std::string_view text, std::string& bytes) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  if (text.size() % 2 != 0) return false;
  std::string decoded;
  decoded.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = value(text[i]), low = value(text[i + 1]);
    if (high < 0 || low < 0) return false;
    decoded += static_cast<char>(high * 16 + low);
  }
  bytes = std::move(decoded);
  return true;
}

std::string to_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL ends it with a NUL
  const int size = EVP_EncodeBlock(bytes_of(text), bytes_of(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

bool from_base64(std::string_view text, std::string& bytes) {
  static constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return false;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string decoded;
  decoded.reserve(text.size() / 4 * 3);
  unsigned bits = 0;
  std::size_t held = 0;
  for (char c : text.substr(0, text.size() - padding)) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<unsigned>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      decoded += static_cast<char>(bits >> held & 0xFF);
    }
  }
  if ((bits & ((1u << held) - 1)) != 0) return false;  // bits that no encoder leaves set
  bytes = std::move(decoded);
  return true;
}

std::string random_hex(std::size_t bytes) {
  std::string drawn(bytes, '\0');
  must(RAND_bytes(bytes_of(drawn), static_cast<int>(bytes)) == 1, "cannot draw random bytes");
  return to_hex(drawn);
}

std::string pbkdf2_sha256(std::string_view secret, std::string_view salt, int iterations,
                          std::size_t length) {
  std::string derived(length, '\0');
  must(PKCS5_PBKDF2_HMAC(secret.data(), static_cast<int>(secret.size()), bytes_of(salt),
                         static_cast<int>(salt.size()), iterations, EVP_sha256(), static_cast<int>(length),
                         bytes_of(derived)) == 1,
       "cannot derive a key");
  return derived;
}

bool open_aes_256_gcm(std::string_view key, std::string_view sealed, std::string_view aad,
                      std::string& plain) {
  if (key.size() != kKey || sealed.size() < kNonce + kTag) return false;
  Cipher cipher;
  const std::string_view nonce = sealed.substr(0, kNonce);
  const std::string_view body = sealed.substr(kNonce, sealed.size() - kNonce - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag));
  std::string opened(body.size() + 1, '\0');
  int size = 0, rest = 0;
  must(EVP_DecryptInit_ex(cipher.context, EVP_aes_256_gcm(), nullptr, bytes_of(key), bytes_of(nonce)) == 1,
       "cannot decrypt");
  must(EVP_DecryptUpdate(cipher.context, nullptr, &rest, bytes_of(aad), static_cast<int>(aad.size())) == 1,
       "cannot decrypt");
  must(EVP_DecryptUpdate(cipher.context, bytes_of(opened), &size, bytes_of(body),
                         static_cast<int>(body.size())) == 1,
       "cannot decrypt");
  must(EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1, "cannot decrypt");
  if (EVP_DecryptFinal_ex(cipher.context, bytes_of(opened) + size, &rest) != 1) {
    ERR_clear_error();
    return false;
  }
  opened.resize(static_cast<std::size_t>(size + rest));
  plain = std::move(opened);
  return true;
}

std::string seal_aes_256_gcm(std::string_view key, std::string_view plain, std::string_view aad) {
  if (key.size() != kKey)
    throw Error(ErrorKind::permanent, "cannot seal", "AES-256-GCM",
                "the key has " + std::to_string(key.size()) + " bytes, not 32");
  Cipher cipher;
  std::string sealed(kNonce + plain.size() + kTag, '\0');
  unsigned char* out = bytes_of(sealed);
  int size = 0, rest = 0;
  must(RAND_bytes(out, kNonce) == 1, "cannot draw random bytes");
  must(EVP_EncryptInit_ex(cipher.context, EVP_aes_256_gcm(), nullptr, bytes_of(key), out) == 1,
       "cannot encrypt");
  must(EVP_EncryptUpdate(cipher.context, nullptr, &rest, bytes_of(aad), static_cast<int>(aad.size())) == 1,
       "cannot encrypt");
  must(EVP_EncryptUpdate(cipher.context, out + kNonce, &size, bytes_of(plain),
                         static_cast<int>(plain.size())) == 1,
       "cannot encrypt");
  must(EVP_EncryptFinal_ex(cipher.context, out + kNonce + size, &rest) == 1, "cannot encrypt");
  must(EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_GET_TAG, kTag, out + kNonce + plain.size()) == 1,
       "cannot encrypt");
  return sealed;
}

}  // namespace relight::sys
