#include "steps/postgres/lib/plain_dump.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

constexpr std::size_t most_findings = 20;
constexpr std::size_t most_in_a_line = 1u << 30;  // as PostgreSQL's own limit of a value
constexpr std::size_t chunk = 1u << 20;

constexpr const char* take_out =
    "take the line out of the dump, if it is not needed, or use a custom dump (pg_dump -Fc)";
constexpr const char* without_create =
    "make the dump without --create, or use a custom dump (pg_dump -Fc), or take the line out";

bool one_of(const SqlToken& token, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return token.is(word); });
}

bool is_identifier(const SqlToken& token) {
  return token.kind == SqlToken::Kind::word || token.kind == SqlToken::Kind::name;
}

std::string upper(std::string_view word) {
  std::string text(word);
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

std::size_t position(const SqlTokens& tokens, std::string_view word, std::size_t from = 0) {
  for (std::size_t i = from; i < tokens.size(); ++i)
    if (tokens[i].is(word)) return i;
  return tokens.size();
}

std::string version_in(std::string_view text) {
  return std::string(text.substr(0, text.find_first_of(" \t(")));
}

}  // namespace

PlainDump::PlainDump() {
  lexer_.on_statement = [this](const SqlTokens& tokens, std::uint64_t line) { statement(tokens, line); };
  lexer_.on_meta = [this](std::string_view text, std::uint64_t line) { meta(text, line); };
  lexer_.on_comment = [this](std::string_view text) { comment(text); };
  lexer_.on_row = [this] { ++content_.rows; };
}

std::string_view PlainDump::line(std::string_view text) {
  ++content_.lines;
  if (content_.lines == 1) {
    crlf_ = text.ends_with('\r');
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  }
  if (crlf_ && text.ends_with('\r')) text.remove_suffix(1);
  if (memchr(text.data(), 0, text.size()) != nullptr)
    find(content_.lines, "a NUL byte",
         "it is not plain SQL, or in UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`");
  dropped_ = false;
  line_ = text;
  lexer_.line(text);
  return dropped_ ? std::string_view() : text;
}

void PlainDump::end() {
  std::uint64_t since = 0;
  const std::string open = lexer_.open(since);
  if (!open.empty())
    find(since, open + " has no end", "the dump is cut off: use another copy of it");
  else if (content_.by_pg_dump && !content_.whole)
    find(content_.lines, "pg_dump's last line is missing", "the dump is cut off: use another copy of it");
}

void PlainDump::find(std::uint64_t line, std::string what, std::string hint) {
  if (content_.findings.size() < most_findings)
    content_.findings.push_back({line, std::move(what), std::move(hint)});
}

void PlainDump::meta(std::string_view text, std::uint64_t line) {
  const std::string command(text.substr(0, text.find_first_of(" \t")));
  if ((command == "\\restrict" || command == "\\unrestrict") && text == line_) {
    dropped_ = true;  // a restriction of our own stands around the whole
    return;
  }
  std::string what = command + ": a command of psql, not of a dump";
  if (command == "\\c" || command == "\\connect") {
    find(line, sys::mend_utf8(text) + ": leads to another database", without_create);
    return;
  }
  if (command == "\\!" || text.find("program") != std::string_view::npos)
    what = std::string(text) + ": starts a program";
  if (command == "\\i" || command == "\\ir" || command == "\\include")
    what = std::string(text) + ": reads another file";
  find(line, sys::mend_utf8(what), take_out);
}

void PlainDump::comment(std::string_view text) {
  constexpr std::string_view from = "-- Dumped from database version ";
  constexpr std::string_view started = "-- Started on ";
  if (text.starts_with(from)) content_.from_version = version_in(text.substr(from.size()));
  if (text.starts_with(started) && content_.started.empty()) content_.started = text.substr(started.size());
  if (text == "-- PostgreSQL database dump") content_.by_pg_dump = true;
  if (text == "-- PostgreSQL database dump complete") content_.whole = true;
  if (text == "-- PostgreSQL database cluster dump")
    find(content_.lines, "a dump of a whole cluster, by pg_dumpall",
         "take the part of one database out of it, or use a dump of that database");
}

void PlainDump::statement(const SqlTokens& tokens, std::uint64_t line) {
  if (!leaves_the_database(tokens, line)) needs(tokens);
}

bool PlainDump::leaves_the_database(const SqlTokens& t, std::uint64_t line) {
  const auto at = [&](std::size_t index, std::initializer_list<std::string_view> words) {
    return index < t.size() && one_of(t[index], words);
  };
  const auto told = [&](const std::string& why, const char* hint) {
    find(line, why, hint);
    return true;
  };
  const std::string head = upper(t[0].text) + (t.size() > 1 ? " " + upper(t[1].text) : "");

  if (at(0, {"create", "alter", "drop"})) {
    if (at(1, {"database"})) return told(head + ": changes a database of the server", without_create);
    if (at(1, {"role", "group"}) || (at(1, {"user"}) && !at(2, {"mapping"})))
      return told(head + ": changes the roles of the whole server",
                  "make the roles before the restore, and take the line out of the dump");
    if (at(1, {"tablespace", "system"})) return told(head + ": changes the whole server", take_out);
  }
  if (at(0, {"comment", "security", "grant", "revoke"})) {
    const std::size_t on = position(t, "on");
    if (on + 1 < t.size() && t[on + 1].is("database"))
      return told(upper(t[0].text) + " ON DATABASE: changes a database of the server", without_create);
    if (at(0, {"grant", "revoke"}) && on == t.size())
      return told(upper(t[0].text) + " of a role: changes the roles of the whole server",
                  "make the roles before the restore, and take the line out of the dump");
  }
  if (at(0, {"copy"})) {
    for (std::size_t i = 1; i + 1 < t.size(); ++i) {
      if (!one_of(t[i], {"from", "to"})) continue;
      if (t[i + 1].is("program")) return told("COPY PROGRAM: starts a program on the server", take_out);
      if (t[i + 1].kind == SqlToken::Kind::literal)
        return told("COPY: reads or writes a file of the server", take_out);
    }
  }
  if (at(0, {"set"}) && position(t, "standard_conforming_strings") < t.size() && !t.back().is("on"))
    return told("SET standard_conforming_strings: backslashes in texts would mean something else",
                "make the dump anew with a pg_dump of 9.1 or later");
  return false;
}

void PlainDump::needs(const SqlTokens& t) {
  const auto role = [&](std::size_t index) {
    if (index >= t.size() || t[index].kind == SqlToken::Kind::symbol || t[index].text.empty()) return;
    if (one_of(t[index], {"public", "current_user", "session_user", "current_role", "default", "none"}))
      return;
    content_.roles.insert(t[index].text);
  };
  const auto roles_after = [&](std::size_t index) {  // TO a, b, GROUP c
    for (++index; index < t.size() && t[index].kind != SqlToken::Kind::symbol; index += 2) {
      if (t[index].is("group")) ++index;
      role(index);
      if (index + 1 >= t.size() || !t[index + 1].symbol(',')) break;
    }
  };
  const auto past_if = [&](std::size_t index) {  // IF NOT EXISTS
    return index < t.size() && t[index].is("if") ? index + 3 : index;
  };

  if (t[0].is("create")) {
    std::size_t what = 1;
    while (what < t.size() && one_of(t[what], {"unlogged", "foreign", "or", "replace"})) ++what;
    if (what + 1 >= t.size()) return;
    if (t[what].is("table")) {
      const std::size_t name = past_if(what + 1);
      if (name >= t.size() || !is_identifier(t[name])) return;
      std::string table = t[name].text;
      if (name + 2 < t.size() && t[name + 1].symbol('.')) table += "." + t[name + 2].text;
      content_.tables.insert(table);
    } else if (t[what].is("extension")) {
      const std::size_t name = past_if(what + 1);
      if (name < t.size()) content_.extensions.insert(t[name].text);
    } else if (t[what].is("policy")) {
      const std::size_t to = position(t, "to", what + 2);
      if (to < t.size()) roles_after(to);
    } else if (t[what].is("user")) {  // CREATE USER MAPPING FOR name
      role(position(t, "for") + 1);
    } else if (t[what].is("schema")) {
      role(position(t, "authorization") + 1);
    }
  } else if (t[0].is("alter")) {
    for (std::size_t i = 1; i + 2 < t.size(); ++i)
      if (t[i].is("owner") && t[i + 1].is("to")) role(i + 2);
    if (t.size() > 2 && t[1].is("default") && t[2].is("privileges")) {
      for (std::size_t i = 3; i + 1 < t.size(); ++i)
        if (t[i].is("for") && one_of(t[i + 1], {"role", "user"})) role(i + 2);
      roles_after(std::min(position(t, "to"), position(t, "from")));
    }
  } else if (one_of(t[0], {"grant", "revoke"})) {
    const std::size_t on = position(t, "on");
    roles_after(std::min(position(t, "to", on), position(t, "from", on)));
  } else if (t[0].is("set") && t.size() > 2) {
    if (t[1].is("session") && t[2].is("authorization")) role(3);
    if (t[1].is("role")) role(2);
    if (t[1].is("default_tablespace") && !t.back().text.empty() && !t.back().is("default"))
      content_.tablespaces.insert(t.back().text);
    if (t[1].is("client_encoding")) content_.encoding = t.back().text;
  }
}

PlainContent read_plain_dump(const std::string& path, const std::function<void(std::string_view)>& each,
                             const std::function<void(std::uint64_t bytes)>& progress) {
  const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw system_error(errno, "cannot read the dump", path);
  PlainDump dump;
  std::string buffer, out;
  std::uint64_t done = 0;
  const auto take = [&](std::string_view line) {
    out = dump.line(line);
    out += '\n';
    if (each) each(out);
  };
  for (;;) {
    const std::size_t had = buffer.size();
    buffer.resize(had + chunk);
    const ssize_t got = read(file.get(), buffer.data() + had, chunk);
    if (got < 0 && errno != EINTR) throw system_error(errno, "cannot read the dump", path);
    buffer.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) break;
    done += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    if (progress) progress(done);

    std::size_t start = 0;
    for (std::size_t end = buffer.find('\n', had); end != std::string::npos; end = buffer.find('\n', start)) {
      take(std::string_view(buffer).substr(start, end - start));
      start = end + 1;
    }
    buffer.erase(0, start);
    if (buffer.size() > most_in_a_line)
      throw Error(ErrorKind::refused, "cannot read the dump",
                  path + ":" + std::to_string(dump.content().lines + 1), "a line of more than 1 GiB",
                  "it is no plain dump: correct `dump`");
  }
  if (!buffer.empty()) take(buffer);
  dump.end();
  return dump.content();
}

}  // namespace relight::postgres
