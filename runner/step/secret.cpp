#include "runner/step/secret.h"

#include <openssl/crypto.h>

namespace relight {

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.wipe();
  }
  return *this;
}

// A short text lives inside the object, where a move copies it: both ends are wiped.
void Secret::wipe() noexcept {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
  bytes_.clear();
}

}  // namespace relight
