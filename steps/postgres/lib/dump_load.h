// A dump into an empty database: by pg_restore, or line by line through psql.
#pragma once
#include <string>

#include "runner/step/call.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_look.h"

namespace relight::postgres {

struct DumpLoad {
  std::string program;   // pg_restore, of a plain dump psql
  std::string path;      // of the dump
  std::string database;  // the empty one
  DumpFormat format;
  int jobs;
};

// Loads all of it or throws a permanent Error that holds the server's or the program's own lines.
void load_dump(const DumpLoad& load, const DatabaseServer& server, Call& call);

}  // namespace relight::postgres
