// A plain SQL dump, read so that what it would do is known before psql is given a byte of it.
//
// What would leave the database that is being restored (a meta-command of psql, another database, a role, a
// program or a file of the host) is a finding with its line.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "steps/postgres/lib/plain_lexer.h"

namespace relight::postgres {

struct PlainFinding {
  std::uint64_t line;
  std::string what;  // "\\connect: leads to another database"
  std::string hint;
};

// What a dump holds and needs.
struct PlainContent {
  std::vector<PlainFinding> findings;  // the first 20
  std::uint64_t lines = 0, rows = 0;   // rows: of COPY data
  std::set<std::string> tables;        // "public.notes"
  std::set<std::string> extensions, roles, tablespaces;
  std::string from_version;  // of the server that it was taken from: "15.20"; empty: not told
  std::string encoding;      // "UTF8"; empty: not told
  std::string started;       // "2026-11-21 10:26:00 UTC", of pg_dump --verbose; empty: not told
  bool by_pg_dump = false;   // its head says so
  bool whole = false;        // its end says so
};

class PlainDump {
 public:
  PlainDump();
  PlainDump(const PlainDump&) = delete;

  // Takes a line without its newline; returns what psql is to be given in its place: the line, without the
  // CR of a dump whose first line ends in CR LF; empty in place of \restrict and \unrestrict.
  std::string_view line(std::string_view text);
  void end();  // after the last line: what was left open is a finding

  const PlainContent& content() const { return content_; }

 private:
  void statement(const SqlTokens& tokens, std::uint64_t line);
  bool leaves_the_database(const SqlTokens& tokens, std::uint64_t line);
  void needs(const SqlTokens& tokens);
  void meta(std::string_view text, std::uint64_t line);
  void comment(std::string_view text);
  void find(std::uint64_t line, std::string what, std::string hint);

  SqlLexer lexer_;
  PlainContent content_;
  std::string_view line_;  // at hand
  bool crlf_ = false, dropped_ = false;
};

// Reads a file through. `each` gets every line for psql, newline included; unset: nothing. `progress` may
// throw.
PlainContent read_plain_dump(const std::string& path, const std::function<void(std::string_view)>& each,
                             const std::function<void(std::uint64_t bytes)>& progress);

}  // namespace relight::postgres
