// An archive of pg_dump into a database of its own, in three goes that a killed restore goes on with:
//
//   1  the definitions, without rights. Killed here, it begins anew.
//   2  rows, indexes and keys, by as many jobs as asked for. Every item is one transaction, so what is there
//      tells which are done: a table with rows has all of its rows, an index that exists is whole.
//   3  the rest (triggers, policies, rights, materialized views), each thousand items one transaction; the
//      number of dependencies in the catalog tells whether it was committed.
//
// How far it is stands in the new database's mark, whose write makes durable what was committed before.
#pragma once
#include <string>

#include "steps/postgres/lib/dump_load.h"
#include "steps/postgres/lib/rename.h"

namespace relight::postgres {

// Makes the database by `create`, unless an earlier attempt has come far enough with the same dump, and loads
// what the look has selected. A permanent Error names the item that failed and holds the program's own lines.
void load_archive(const DumpLoad& load, const DumpLook& look, const std::string& create,
                  const DatabaseServer& server, DatabaseSwitch& move, Call& call);

}  // namespace relight::postgres
