// What of a database counts as state, hashed.
#pragma once
#include <string>

#include "runner/sys/sql.h"
#include "steps/postgres/lib/database_server.h"

namespace relight::postgres {

// Of the server's database: its own properties but our mark, and what pg_dump writes of it, rows and catalog.
// "absent" where it is not there.
std::string database_state(const DatabaseServer& server, sys::Sql& sql, const Call& call);

}  // namespace relight::postgres
