// The tokens of a Lua source that Lua has compiled already: no error is possible here.
#pragma once
#include <string_view>
#include <vector>

namespace relight::lang {

struct Token {
  enum class Kind : unsigned char { name, keyword, text, number, symbol, end };
  Kind kind = Kind::end;
  int line = 0;
  std::string_view text;  // of a text: what stands between its quotes, escapes as written

  bool is(std::string_view symbol_or_keyword) const {
    return (kind == Kind::symbol || kind == Kind::keyword) && text == symbol_or_keyword;
  }
  bool is_name() const { return kind == Kind::name; }
  bool is_text() const { return kind == Kind::text; }
};

// Ends with one token of kind `end`. The tokens look into `source`.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace relight::lang
