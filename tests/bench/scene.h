// What the benchmarks of PostgreSQL share: a folder of the user postgres' own, programs run as that user, and
// a pgBackRest repository of a server.
#pragma once
#include <functional>
#include <string>

#include "runner/sys/files.h"
#include "tests/support/postgres.h"

namespace relight::bench {

struct PostgresFolder : sys::TempFolder {
  PostgresFolder();  // on a disk
};

// Runs a script of bash as the user postgres; throws Error when it does not exit 0.
void as_postgres(const std::string& script);
double seconds_as_postgres(const std::string& script);

// The exit code of a benchmark's program: an error is printed.
int exit_of(const std::function<void()>& run);

class Backrest {
 public:
  Backrest() = default;
  // Below `folder`; `packing`: gz or zst.
  Backrest(const std::string& folder, const std::string& packing);

  void add(const Postgres& server) const;  // makes its stanza
  // A command line: "pgbackrest --config=... ARGUMENTS".
  std::string command(const std::string& arguments) const;

 private:
  std::string folder_, packing_;
};

}  // namespace relight::bench
