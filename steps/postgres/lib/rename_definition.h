// What a database carries besides its content, and what a rename would lose: owner, encoding, locale,
// tablespace, rights, connection limit, settings, comment, labels.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/plain_lexer.h"

namespace relight::postgres {

// The name of the setting by which a database is marked; no part of what is carried.
inline constexpr const char* mark_setting = "relight.mark";

// null: there is no such database.
Json database_definition(sys::Sql& sql, const std::string& name);

// CREATE DATABASE of that name, empty, like the one defined. `owner`: in place of its own; empty: its own.
std::string creation(const std::string& name, const Json& definition, const std::string& owner);
// The statements that give a database the rest of the definition.
std::vector<std::string> carried(const std::string& name, const Json& definition, const std::string& owner);

// The same from a dump's own statements about its database (CREATE, ALTER, COMMENT ON, GRANT ... ON
// DATABASE).
std::string creation(const std::string& name, const std::vector<SqlTokens>& statements,
                     const std::string& owner);
std::string tablespace_of(const std::vector<SqlTokens>& statements);  // empty: the default one
std::vector<SqlTokens> without_tablespace(std::vector<SqlTokens> statements);
std::vector<std::string> carried(const std::string& name, const std::vector<SqlTokens>& statements,
                                 const std::string& owner);

// `name = value` of pg_db_role_setting as a part of ALTER ... SET; lists of names are taken apart.
std::string set_clause(const std::string& config);

}  // namespace relight::postgres
