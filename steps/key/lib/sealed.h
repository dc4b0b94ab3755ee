// Values sealed by AES-256-GCM: nonce 12 bytes, tag 16 bytes, no additional data.
//
// The envelope, version 1, has a data key of its own, sealed under the master key:
//   0x01 | nonce | data key (32), encrypted | tag | nonce | ciphertext | tag      at least 89 bytes
// The direct form is sealed under the master key itself:
//   nonce | ciphertext | tag                                                      at least 28 bytes
#pragma once
#include <string>
#include <string_view>

namespace relight {

// The bytes of a value as a database shows it: bytea (\x and hex), else base64, else as it stands.
std::string sealed_bytes(std::string_view column);

// Is every tag that the value has right under this key?
bool opens(std::string_view key, std::string_view sealed);

}  // namespace relight
