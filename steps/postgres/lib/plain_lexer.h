// SQL text cut into statements as psql cuts it: quotes, comments, dollar quotes, COPY data, statement ends.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace relight::postgres {

struct SqlToken {
  enum class Kind { word, name, literal, symbol } kind;  // name: a quoted identifier
  std::string text;  // words (numbers too) in lower case; literals and names without their quotes

  bool is(std::string_view word) const { return kind == Kind::word && text == word; }
  bool symbol(char c) const { return kind == Kind::symbol && text[0] == c; }
};
using SqlTokens = std::vector<SqlToken>;

class SqlLexer {
 public:
  // The tokens of a statement (at most 4096; of an INSERT the first only) and the line that it begins on.
  std::function<void(const SqlTokens&, std::uint64_t line)> on_statement;
  // A backslash outside quotes, comments and COPY data, with the rest of its line.
  std::function<void(std::string_view text, std::uint64_t line)> on_meta;
  std::function<void(std::string_view text)> on_comment;  // a line of "-- ..."
  std::function<void()> on_row;                           // a line of COPY data

  void line(std::string_view text);  // the next line, without its newline

  // What the text so far leaves open, and since which line; empty: nothing.
  std::string open(std::uint64_t& since) const;

 private:
  enum class Mode { sql, quote, escape_quote, name, comment, dollar, copy };

  std::size_t sql(std::string_view text, std::size_t at);
  std::size_t word(std::string_view text, std::size_t at);
  std::size_t quoted(std::string_view text, std::size_t at);
  std::size_t commented(std::string_view text, std::size_t at);
  bool dollar_quote(std::string_view text, std::size_t& at);
  void follow_function_body(const std::string& word);
  void add(SqlToken::Kind kind, std::string text);
  void end_statement();

  Mode mode_ = Mode::sql;
  std::uint64_t number_ = 0, open_since_ = 0, statement_line_ = 0;
  bool copy_follows_ = false, collecting_ = true;
  int comments_ = 0, parens_ = 0, begins_ = 0;
  std::size_t words_ = 0;
  std::string heads_;  // the first letters of the words create, or, replace, function, procedure at the start
  std::string tag_, text_;
  SqlTokens tokens_;
};

}  // namespace relight::postgres
