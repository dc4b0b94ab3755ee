// How many rows were written to a database, by its server's statistics.
#pragma once
#include <string>

#include "runner/step/call.h"
#include "runner/sys/json.h"
#include "steps/postgres/lib/database_server.h"

namespace relight::postgres {

// The counters of its tables, to be noted; a session of its own, which is gone on return.
Json activity_of(const DatabaseServer& server, sys::Sql& administration, const Call& call);

// What was written from one to the other: "at least 12 rows were inserted and 3 updated"; empty: nothing.
// The server counts what a session wrote up to some seconds later, and begins anew after a crash.
std::string written_between(const Json& before, const Json& now);

}  // namespace relight::postgres
