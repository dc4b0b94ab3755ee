// What the plan can say of a restore, and whether what was restored is whole.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "runner/step/step.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_look.h"

namespace relight::postgres {

// All that reading the dump and asking the server can tell; `sql` null: the server is not there yet.
DumpLook foresee_dump(const Params& params, Call& call, const DatabaseServer& server, sys::Sql* sql,
                      Preview& preview, DumpDepth depth);

// How deep a plan reads: as --depth says.
DumpDepth planned_depth(const Call& call);

std::string globals_of(const Params& params);  // the file that `globals` names

// When the dump was begun: as the runbook says (`made_at`), else as it says itself; nothing: it cannot be
// told.
std::optional<sys::Time> moment_of_dump(const Params& params, const DumpLook& dump);

// Is all in the restored database that the dump speaks of? A permanent Error names what is not. Gives the
// planner its statistics, too. Returns the outputs `tables` and `bytes`.
Json checked_restore(Call& call, const DatabaseServer& server, const std::string& database,
                     const DumpLook& dump, bool analyze = true);

int server_major(sys::Sql& sql);  // 15
std::uint64_t size_of(sys::Sql& sql, const std::string& database);

}  // namespace relight::postgres
