// The rows of an archive that are compressed by gzip, fed to the server by sessions of our own: libisal
// decodes them in half the time of zlib, by which pg_restore does.
//
// Each table is one transaction that empties it first, as by several jobs of pg_restore, so that a server
// with wal_level = minimal writes no WAL of the rows.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runner/sys/sql.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_file.h"
#include "steps/postgres/lib/dump_load.h"

namespace relight::postgres {

class DumpFeed {
 public:
  // Takes of the selected items those whose rows come by COPY into a table that the dump makes itself. The
  // others, and those of an archive that was written into a pipe or is not known here, are pg_restore's.
  // All that it is given outlives it.
  DumpFeed(const DumpLoad& load, const DumpLook& look);
  ~DumpFeed();
  DumpFeed(const DumpFeed&) = delete;

  const std::set<std::string>& numbers() const { return numbers_; }  // that it takes

  // Until run() is called, which is when the tables are there: begins to decode in a thread of its own, as
  // much as that memory takes (bytes).
  void decode_ahead(std::uint64_t memory);

  // By as many sessions as the load has jobs. The tables are there, and empty. This thread calls
  // `finished` with each number, and once `idle` where sessions have nothing left to do while others copy
  // large tables. A permanent Error names the item and holds the server's own words.
  void run(const DatabaseServer& server, const Call& call,
           const std::function<void(const std::string& number)>& finished, const std::function<void()>& idle);

 private:
  struct Rows {
    DumpItem item;
    std::uint64_t bytes = 0;  // on disk, about
  };
  class Source;
  void copy(std::size_t number, sys::Sql& sql);
  void end_ahead();
  std::exception_ptr fault_at(const Rows& rows) const;

  const DumpLoad& load_;
  const DumpLook& look_;
  std::vector<std::string> session_;  // what the dump says of encoding and search_path
  std::vector<Rows> rows_;            // the largest first
  std::set<std::string> numbers_;

  std::thread ahead_;
  std::atomic<bool> enough_ = false;
  std::map<std::size_t, std::unique_ptr<Source>> sources_;  // begun ahead; not changed once that has ended
};

}  // namespace relight::postgres
