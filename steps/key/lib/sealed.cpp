#include "steps/key/lib/sealed.h"

#include "runner/sys/digest.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr char version = 1;
constexpr std::size_t nonce_size = 12, key_size = 32, tag_size = 16;
constexpr std::size_t sealed_key_size = nonce_size + key_size + tag_size;
constexpr std::size_t least_envelope = 1 + sealed_key_size + nonce_size + tag_size;

bool opens_envelope(std::string_view key, std::string_view sealed) {
  std::string data_key, plain;
  return sys::open_aes_256_gcm(key, sealed.substr(1, sealed_key_size), "", data_key) &&
         sys::open_aes_256_gcm(data_key, sealed.substr(1 + sealed_key_size), "", plain);
}

}  // namespace

std::string sealed_bytes(std::string_view column) {
  std::string bytes;
  if (column.starts_with("\\x") && sys::from_hex(column.substr(2), bytes)) return bytes;
  if (sys::from_base64(sys::trim(column), bytes)) return bytes;
  return std::string(column);
}

bool opens(std::string_view key, std::string_view sealed) {
  std::string plain;
  // A direct value may begin with the envelope's version by chance, so it is tried after it.
  if (sealed.size() >= least_envelope && sealed.front() == version && opens_envelope(key, sealed))
    return true;
  return sys::open_aes_256_gcm(key, sealed, "", plain);
}

}  // namespace relight
