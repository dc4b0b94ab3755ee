// A plain dump into an empty database, line by line through psql; an archive's way is dump_archive.h.
#pragma once
#include <string>

#include "runner/step/call.h"
#include "steps/postgres/lib/client_program.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_look.h"

namespace relight::postgres {

struct DumpLoad {
  ClientProgram program;  // pg_restore, of a plain dump psql
  std::string path;       // of the dump
  std::string database;   // the new one
  DumpFormat format;
  int jobs;
  const char* mend;  // what to do where the server refuses a part of it
};

// Loads all of it or throws a permanent Error that holds the server's or the program's own lines.
void load_plain(const DumpLoad& load, const DatabaseServer& server, Call& call);

}  // namespace relight::postgres
