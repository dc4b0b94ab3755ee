// A database out of a dump, under the hidden name of its switch: loaded, checked and marked.
#pragma once
#include <functional>

#include "runner/step/call.h"
#include "runner/sys/json.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/rename.h"

namespace relight::postgres {

// What `dump` and, where they are given, `jobs`, `only`, `exclude`, `owner` and `made_at` say. The new
// database is made like the one `like` defines; null: as the dump says. `begin` is called before the first
// effect. Notes "restored": the outputs `tables`, `bytes` and `last_commit`. Killed or failed, it goes on
// with what is loaded, but where it is the disk that this fills: then it is dropped. DURABLE
void restore_beside(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                    DatabaseSwitch& move, const Json& like,
                    const std::function<void(const DumpLook& dump)>& begin);

}  // namespace relight::postgres
