// The roles of a cluster, from the text of pg_dumpall --globals-only, and those of them that a server lacks.
#pragma once
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/plain_lexer.h"

namespace relight::postgres {

struct Globals {
  std::vector<std::string> roles;      // that it makes, in its order
  std::vector<SqlTokens> statements;   // about roles: what they may, are members of, and are called
  std::vector<SqlTokens> tablespaces;  // about tablespaces: who owns and may use them, what they are set to
};

// A refused Error for a file that cannot be read or makes no role. Its other statements count for nothing.
Globals read_globals(const std::string& path);

// Those of its roles that the server has not.
std::vector<std::string> missing_roles(const Globals& globals, sys::Sql& sql);

// Makes them in one transaction, and notes them before: those that are there stay as they are, but for
// `also`, which becomes what the globals say of it. What is sent holds passwords: the server is told to log
// none of it, and no Error holds a statement.
void make_missing_roles(const Globals& globals, sys::Sql& sql, Call& call, const std::string& also = "");

// What the globals say of a tablespace that is there: its owner, its grants, its settings.
void own_tablespace(const Globals& globals, const std::string& name, sys::Sql& sql);

// Neither the server's log nor an Error holds the password.
void set_password(sys::Sql& sql, const std::string& role, const std::string& password);

// Drops the roles that make_missing_roles has noted, but for those that something belongs to by now, which
// the log names.
void drop_made_roles(sys::Sql& sql, Call& call);

}  // namespace relight::postgres
