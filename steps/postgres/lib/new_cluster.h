// A new cluster beside its place, made by initdb, filled from a dump by a quiet server, shut down and synced.
//
// That server does without fsync, WAL of the rows and autovacuum. It runs in a folder that is nobody's
// cluster yet: whatever ends it, what is there is thrown away and made anew, and the cluster that it leaves
// knows nothing of its settings.
#pragma once
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "steps/postgres/lib/dump_load.h"
#include "steps/postgres/lib/globals.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/settings.h"
#include "steps/postgres/lib/tablespaces.h"

namespace relight::postgres {

struct NewCluster {
  std::string folder;  // where it is made
  std::string was;     // the data directory whose settings it takes over, where those lie in it; there or not
  std::string role, locale;
  bool checksums = true;
  // By name, each in its folder, which is there and empty; none: all goes into the data directory.
  std::vector<NewTablespace> tablespaces;
  std::string password;  // of `role`; empty: as the globals say, else none
};

// What makes a server load fast: put behind quiet_settings. `memory`: to spare, in bytes.
Settings loading_settings(int major, std::uint64_t memory, int jobs);

// Made by an image's programs it lets everybody in by password, and its own container without one, as the
// images' own clusters do, where no settings are taken over.
//
// Makes it, with the database of `load` as the dump says, ANALYZEd. DURABLE on return. Returns what
// checked_restore does.
Json make_cluster(const NewCluster& cluster, const Programs& programs, DumpLoad load, const DumpLook& look,
                  const Globals& globals, Call& call);

}  // namespace relight::postgres
