// The bytes of a key as they stand in a file or a variable: raw, or written in hex or base64.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relight {

// Everything that `text` can mean. `encoding` is base64, hex, raw or auto; auto takes hex before base64
// before raw. With `bytes`, only what has that length. Empty: it means nothing. A line's end after the text
// is no part of hex and base64, and may or may not be part of raw.
std::vector<std::string> key_meanings(std::string_view text, const std::string& encoding,
                                      std::optional<std::size_t> bytes);

// The first of them; none: a refused Error that says what was expected, of `name`, and nothing of the text.
std::string key_bytes(std::string_view text, const std::string& encoding, std::optional<std::size_t> bytes,
                      const std::string& name);

}  // namespace relight
