// An archive of pg_dump into an empty database, which nobody goes on with; for one that is gone on with see
// dump_archive.h.
#pragma once
#include "steps/postgres/lib/dump_feed.h"
#include "steps/postgres/lib/dump_load.h"

namespace relight::postgres {

// Loads what the look has selected: the definitions, the rows that the feed takes, while the largest come the
// indexes of the others, and the rest. `tablespaces`: each item in its own. A permanent Error names the item
// that failed and holds the server's own lines.
void load_archive_at_once(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server,
                          bool tablespaces, DumpFeed& feed, Call& call);

}  // namespace relight::postgres
