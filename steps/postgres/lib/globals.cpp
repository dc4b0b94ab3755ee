#include "steps/postgres/lib/globals.h"

#include <algorithm>
#include <set>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

constexpr const char* made_note = "roles";

bool starts(const SqlTokens& tokens, std::initializer_list<std::string_view> words) {
  return tokens.size() > words.size() &&
         std::equal(words.begin(), words.end(), tokens.begin(),
                    [](std::string_view word, const SqlToken& token) { return token.is(word); });
}

bool creates_role(const SqlTokens& tokens) {
  return starts(tokens, {"create", "role"});
}

// The role that a statement changes, or "" for one of another kind: of GRANT a TO b it is b.
std::string role_of(const SqlTokens& tokens) {
  const auto is_in_database = [&] { return tokens.size() > 4 && tokens[3].is("in"); };
  if (creates_role(tokens) || (starts(tokens, {"alter", "role"}) && !is_in_database())) return tokens[2].text;
  if (starts(tokens, {"comment", "on", "role"})) return tokens[3].text;
  if (tokens.size() > 3 && tokens[0].is("grant") && tokens[2].is("to")) return tokens[3].text;
  return "";
}

// The tablespace that a statement is about, or "".
std::string tablespace_of_statement(const SqlTokens& tokens) {
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i)
    if (tokens[i].is("tablespace") && (i == 1 || tokens[i - 1].is("on"))) return tokens[i + 1].text;
  return "";
}

std::string text_of(const SqlTokens& tokens) {
  std::string text;
  for (const SqlToken& token : tokens)
    text += token.kind == SqlToken::Kind::name      ? sys::quote_identifier(token.text) + " "
            : token.kind == SqlToken::Kind::literal ? sys::quote_literal(token.text) + " "
            : token.kind == SqlToken::Kind::symbol  ? token.text
                                                    : token.text + " ";
  return text;
}

std::set<std::string> roles_there(sys::Sql& sql) {
  std::set<std::string> there;
  for (const auto& row : sql.query("SELECT rolname FROM pg_roles").rows) there.insert(row[0].value_or(""));
  return there;
}

void keep_out_of_the_log(sys::Sql& sql) {
  if (sql.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").one() != "t") return;
  sql.execute(
      "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = "
      "-1; SET log_duration = off");
}

}  // namespace

Globals read_globals(const std::string& path) {
  Globals globals;
  SqlLexer lexer;
  lexer.on_statement = [&](const SqlTokens& tokens, std::uint64_t) {
    if (!tablespace_of_statement(tokens).empty()) globals.tablespaces.push_back(tokens);
    if (role_of(tokens).empty()) return;
    if (creates_role(tokens)) globals.roles.push_back(tokens[2].text);
    globals.statements.push_back(tokens);
  };
  lexer.on_meta = [](std::string_view, std::uint64_t) {};
  lexer.on_comment = [](std::string_view) {};
  lexer.on_row = [] {};
  for (const std::string& line : sys::split(sys::read_file(path), '\n'))
    lexer.line(line.ends_with('\r') ? std::string_view(line).substr(0, line.size() - 1) : line);
  if (globals.roles.empty())
    throw Error(ErrorKind::refused, "cannot take roles from the file", path, "it makes none",
                "name the output of pg_dumpall --globals-only in `globals`");
  return globals;
}

std::vector<std::string> missing_roles(const Globals& globals, sys::Sql& sql) {
  const std::set<std::string> there = roles_there(sql);
  std::vector<std::string> missing;
  for (const std::string& role : globals.roles)
    if (!there.contains(role)) missing.push_back(role);
  return missing;
}

void make_missing_roles(const Globals& globals, sys::Sql& sql, Call& call, const std::string& also) {
  const std::vector<std::string> missing = missing_roles(globals, sql);
  if (missing.empty() && also.empty()) return;
  std::set<std::string> made(missing.begin(), missing.end());
  for (const Json& earlier : call.notes().value(made_note, Json::array()))
    made.insert(earlier.get<std::string>());
  call.note(made_note, made);
  failpoint("postgres.restore:before_roles");
  const std::set<std::string> wanted(missing.begin(), missing.end());
  keep_out_of_the_log(sql);
  std::string role;
  sql.execute("BEGIN");
  try {
    for (const SqlTokens& statement : globals.statements) {
      role = role_of(statement);
      if (wanted.contains(role) || (role == also && !creates_role(statement)))
        sql.execute(text_of(statement));
    }
    sql.execute("COMMIT");
  } catch (const Error& error) {
    try {
      sql.execute("ROLLBACK");
    } catch (const Error&) {
      // The first error is the cause.
    }
    throw Error(error.kind, "cannot make a role of the globals", role, error.why,
                "make it by hand, and resume the run");
  }
  failpoint("postgres.restore:roles");
  if (!missing.empty()) call.log("made the roles " + sys::join(missing, ", "));
}

void own_tablespace(const Globals& globals, const std::string& name, sys::Sql& sql) {
  for (const SqlTokens& statement : globals.tablespaces) {
    if (tablespace_of_statement(statement) != name) continue;
    if (!statement[0].is("create"))
      sql.execute(text_of(statement));
    else if (statement.size() > 4 && statement[3].is("owner"))
      sql.execute("ALTER TABLESPACE " + sys::quote_identifier(name) + " OWNER TO " +
                  sys::quote_identifier(statement[4].text));
  }
}

void set_password(sys::Sql& sql, const std::string& role, const std::string& password) {
  keep_out_of_the_log(sql);
  sql.execute("SET password_encryption = 'scram-sha-256'");
  sql.execute("ALTER ROLE " + sys::quote_identifier(role) + " PASSWORD " + sys::quote_literal(password));
}

void drop_made_roles(sys::Sql& sql, Call& call) {
  const std::set<std::string> there = roles_there(sql);
  const Json made = call.notes().value(made_note, Json::array());
  // A role that granted a membership goes after the one that got it: round by round, as long as one went.
  std::set<std::string> left;
  for (const Json& role : made)
    if (there.contains(role.get<std::string>())) left.insert(role.get<std::string>());
  std::string why;
  for (std::size_t before = left.size() + 1; !left.empty() && left.size() < before;) {
    before = left.size();
    for (auto role = left.begin(); role != left.end();) try {
        sql.execute("DROP ROLE " + sys::quote_identifier(*role));
        role = left.erase(role);
      } catch (const Error& error) {
        if (error.kind != ErrorKind::permanent) throw;
        why = error.why;
        ++role;
      }
  }
  for (const std::string& role : left) call.log("the role " + role + " stays, as it is in use: " + why);
}

}  // namespace relight::postgres
