#include "steps/postgres/lib/plain_lexer.h"

#include <algorithm>
#include <cctype>

namespace relight::postgres {
namespace {

constexpr std::size_t most_tokens = 4096;
constexpr std::size_t most_text = 1u << 20;

bool begins_word(unsigned char c) {
  return std::isalpha(c) || c == '_' || c >= 0x80;
}
bool continues_word(unsigned char c) {
  return begins_word(c) || std::isdigit(c) || c == '$';
}

void append(std::string& to, std::string_view text) {
  if (to.size() < most_text) to += text.substr(0, most_text - to.size());
}

bool reads_stdin(const SqlTokens& tokens) {
  if (tokens.empty() || !tokens[0].is("copy")) return false;
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i)
    if (tokens[i].is("from") && (tokens[i + 1].is("stdin") || tokens[i + 1].is("stdout"))) return true;
  return false;
}

}  // namespace

void SqlLexer::line(std::string_view text) {
  ++number_;
  if (mode_ == Mode::copy) {
    if (text == "\\.")
      mode_ = Mode::sql;
    else
      on_row();
    return;
  }
  std::size_t at = 0;
  while (at < text.size()) switch (mode_) {
      case Mode::sql:
        at = sql(text, at);
        break;
      case Mode::comment:
        at = commented(text, at);
        break;
      case Mode::dollar: {
        const std::size_t end = text.find(tag_, at);
        at = end == std::string_view::npos ? text.size() : end + tag_.size();
        if (end != std::string_view::npos) {
          mode_ = Mode::sql;
          add(SqlToken::Kind::literal, "");
        }
        break;
      }
      default:
        at = quoted(text, at);
        break;
    }
  if (copy_follows_ && mode_ == Mode::sql) {
    copy_follows_ = false;
    mode_ = Mode::copy;
    open_since_ = number_;
  }
}

std::size_t SqlLexer::sql(std::string_view text, std::size_t at) {
  const char c = text[at];
  const std::string_view rest = text.substr(at);
  if (std::isspace(static_cast<unsigned char>(c))) return at + 1;
  if (rest.starts_with("--")) {
    if (tokens_.empty()) on_comment(rest);
    return text.size();
  }
  if (rest.starts_with("/*")) {
    mode_ = Mode::comment;
    comments_ = 0;
    open_since_ = number_;
    return at;
  }
  if (c == '\\') {
    on_meta(rest, number_);
    return text.size();
  }
  if (begins_word(static_cast<unsigned char>(c))) return word(text, at);
  if (c == '\'' || c == '"') {
    mode_ = c == '"' ? Mode::name : Mode::quote;
    text_.clear();
    open_since_ = number_;
    return at + 1;
  }
  if (c == '$' && dollar_quote(text, at)) return at;
  if (std::isdigit(static_cast<unsigned char>(c))) {
    std::size_t end = at;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '.'))
      ++end;
    add(SqlToken::Kind::word, std::string(text.substr(at, end - at)));
    return end;
  }
  if (c == '(') ++parens_;
  if (c == ')' && parens_ > 0) --parens_;
  if (c == ';' && parens_ == 0 && begins_ == 0)
    end_statement();
  else
    add(SqlToken::Kind::symbol, std::string(1, c));
  return at + 1;
}

std::size_t SqlLexer::word(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && continues_word(static_cast<unsigned char>(text[end]))) ++end;
  if (end == at + 1 && end < text.size() && text[end] == '\'' && (text[at] == 'e' || text[at] == 'E')) {
    mode_ = Mode::escape_quote;
    text_.clear();
    open_since_ = number_;
    return end + 1;
  }
  std::string word(text.substr(at, end - at));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  follow_function_body(word);
  add(SqlToken::Kind::word, std::move(word));
  return end;
}

// psql's own heuristic: within CREATE [OR REPLACE] FUNCTION or PROCEDURE a semicolon between BEGIN and END
// ends nothing.
void SqlLexer::follow_function_body(const std::string& word) {
  if (words_ == 0) heads_.clear();
  if (words_ < 4)
    heads_ +=
        word == "create" || word == "or" || word == "replace" || word == "function" || word == "procedure"
            ? word[0]
            : ' ';
  ++words_;
  const bool function = heads_.starts_with("cf") || heads_.starts_with("cp") || heads_.starts_with("corf") ||
                        heads_.starts_with("corp");
  if (!function || parens_ != 0) return;
  if (word == "begin" || (word == "case" && begins_ > 0)) ++begins_;
  if (word == "end" && begins_ > 0) --begins_;
}

std::size_t SqlLexer::quoted(std::string_view text, std::size_t at) {
  const char mark = mode_ == Mode::name ? '"' : '\'';
  while (at < text.size()) {
    const std::size_t start = at;
    while (at < text.size() && text[at] != mark && (mode_ != Mode::escape_quote || text[at] != '\\')) ++at;
    append(text_, text.substr(start, at - start));
    if (at == text.size()) break;
    if (text[at] == '\\' || (at + 1 < text.size() && text[at + 1] == mark)) {
      append(text_, text.substr(at + 1, 1));
      at += 2;  // past the end where the backslash stands before the newline
      continue;
    }
    add(mode_ == Mode::name ? SqlToken::Kind::name : SqlToken::Kind::literal, text_);
    mode_ = Mode::sql;
    return at + 1;
  }
  append(text_, "\n");
  return text.size();
}

std::size_t SqlLexer::commented(std::string_view text, std::size_t at) {
  for (; at < text.size(); ++at) {
    const std::string_view two = text.substr(at, 2);
    if (two == "/*") {
      ++comments_, ++at;
    } else if (two == "*/") {
      ++at;
      if (--comments_ == 0) {
        mode_ = Mode::sql;
        return at + 1;
      }
    }
  }
  return at;
}

bool SqlLexer::dollar_quote(std::string_view text, std::size_t& at) {
  std::size_t end = at + 1;
  if (end < text.size() && begins_word(static_cast<unsigned char>(text[end])))
    while (end < text.size() && text[end] != '$' && continues_word(static_cast<unsigned char>(text[end])))
      ++end;
  if (end >= text.size() || text[end] != '$') return false;
  tag_ = text.substr(at, end + 1 - at);
  mode_ = Mode::dollar;
  open_since_ = number_;
  at = end + 1;
  return true;
}

void SqlLexer::add(SqlToken::Kind kind, std::string text) {
  if (tokens_.empty()) statement_line_ = number_;
  if (tokens_.size() == 1 && tokens_[0].is("insert")) collecting_ = false;
  if (collecting_ && tokens_.size() < most_tokens) tokens_.push_back({kind, std::move(text)});
}

void SqlLexer::end_statement() {
  if (!tokens_.empty()) {
    on_statement(tokens_, statement_line_);
    if (reads_stdin(tokens_)) copy_follows_ = true;
  }
  tokens_.clear();
  collecting_ = true;
  words_ = 0;
  heads_.clear();
  parens_ = begins_ = 0;
}

std::string SqlLexer::open(std::uint64_t& since) const {
  since = open_since_;
  switch (mode_) {
    case Mode::copy:
      return "the rows of a COPY";
    case Mode::comment:
      return "a comment";
    case Mode::dollar:
      return "a text quoted with " + tag_;
    case Mode::name:
      return "a quoted name";
    case Mode::quote:
    case Mode::escape_quote:
      return "a quoted text";
    case Mode::sql:
      break;
  }
  since = statement_line_;
  return tokens_.empty() ? "" : "a statement";
}

}  // namespace relight::postgres
