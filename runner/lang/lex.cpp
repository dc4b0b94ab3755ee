#include "runner/lang/lex.h"

#include <algorithm>
#include <array>
#include <string>

namespace relight::lang {

namespace {

constexpr std::array<std::string_view, 22> keywords = {
    "and", "break", "do",  "else", "elseif", "end",    "false",  "for",  "function", "goto",  "if",
    "in",  "local", "nil", "not",  "or",     "repeat", "return", "then", "true",     "until", "while"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> all() {
    std::vector<Token> tokens;
    tokens.reserve(source_.size() / 4 + 1);
    do tokens.push_back(next());
    while (tokens.back().kind != Token::Kind::end);
    return tokens;
  }

 private:
  char at(std::size_t place) const { return place < source_.size() ? source_[place] : '\0'; }

  Token token(Token::Kind kind, std::size_t begin, std::size_t end, int line) const {
    return {kind, line,
            source_.substr(begin, std::min(end, source_.size()) - std::min(begin, source_.size()))};
  }

  void skip_to(std::size_t end) {
    end = std::min(end, source_.size());
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(place_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    place_ = end;
  }

  // The length of "[[", "[==[": 0 when none stands at `place`.
  std::size_t long_opening(std::size_t place) const {
    if (at(place) != '[') return 0;
    std::size_t end = place + 1;
    while (at(end) == '=') ++end;
    return at(end) == '[' ? end + 1 - place : 0;
  }

  Token long_text(std::size_t opening) {
    const int line = line_;
    std::string closing(opening, '=');
    closing.front() = closing.back() = ']';
    const std::size_t begin = place_ + opening;
    const std::size_t end = std::min(source_.find(closing, begin), source_.size());
    skip_to(end + opening);
    return token(Token::Kind::text, begin, end, line);
  }

  void skip_blanks() {
    for (;;) {
      const char c = at(place_);
      if (c == '\n') {
        ++line_;
        ++place_;
      } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
        ++place_;
      } else if (c == '-' && at(place_ + 1) == '-') {
        place_ += 2;
        if (const std::size_t opening = long_opening(place_))
          long_text(opening);
        else
          place_ = std::min(source_.find('\n', place_), source_.size());
      } else {
        return;
      }
    }
  }

  Token next() {
    skip_blanks();
    const std::size_t begin = place_;
    const char c = at(begin);
    if (begin >= source_.size()) return token(Token::Kind::end, begin, begin, line_);
    if (is_letter(c)) {
      while (is_letter(at(place_)) || is_digit(at(place_))) ++place_;
      const Token word = token(Token::Kind::name, begin, place_, line_);
      const bool keyword = std::binary_search(keywords.begin(), keywords.end(), word.text);
      return {keyword ? Token::Kind::keyword : Token::Kind::name, line_, word.text};
    }
    if (is_digit(c) || (c == '.' && is_digit(at(begin + 1)))) return number(begin);
    if (c == '"' || c == '\'') return quoted(begin, c);
    if (const std::size_t opening = long_opening(begin)) return long_text(opening);
    return symbol(begin);
  }

  Token number(std::size_t begin) {
    const bool hex = at(begin) == '0' && (at(begin + 1) == 'x' || at(begin + 1) == 'X');
    for (char last = 0;; last = at(place_++)) {
      const char c = at(place_);
      const bool exponent = hex ? last == 'p' || last == 'P' : last == 'e' || last == 'E';
      if (!is_letter(c) && !is_digit(c) && c != '.' && !(exponent && (c == '+' || c == '-'))) break;
    }
    return token(Token::Kind::number, begin, place_, line_);
  }

  Token quoted(std::size_t begin, char quote) {
    const int line = line_;
    std::size_t end = begin + 1;
    while (end < source_.size() && at(end) != quote) {
      if (at(end) == '\\' && at(end + 1) == 'z') {
        end += 2;
        while (at(end) == ' ' || (at(end) >= '\t' && at(end) <= '\r')) ++end;
      } else {
        end += at(end) == '\\' ? 2 : 1;
      }
    }
    skip_to(end + 1);
    return token(Token::Kind::text, begin + 1, end, line);
  }

  Token symbol(std::size_t begin) {
    std::size_t length = 1;
    if (source_.substr(begin, 3) == "...") {
      length = 3;
    } else {
      for (const std::string_view two : {"..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"})
        if (source_.substr(begin, 2) == two) length = 2;
    }
    place_ += length;
    return token(Token::Kind::symbol, begin, place_, line_);
  }

  std::string_view source_;
  std::size_t place_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) {
  return Lexer(source).all();
}

}  // namespace relight::lang
