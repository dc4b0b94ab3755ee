// The planner's statistics of a database that is being restored: gathered of each table as soon as its rows
// are there, so that little is left to do at the end, and nothing is done again after a crash.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "steps/postgres/lib/database_server.h"

namespace relight::postgres {

class Statistics {
 public:
  // Works in a thread and a session of its own. All that it is given outlives it.
  Statistics(const DatabaseServer& server, std::string database, const Call& call);
  ~Statistics() { end(); }
  Statistics(const Statistics&) = delete;

  void filled(const std::string& table);  // "SCHEMA"."NAME": all of its rows are there
  // Takes no more up, waits for the table at hand. Returns why it could not go on; empty: nothing failed.
  std::string end();

 private:
  void run();

  const DatabaseServer& server_;
  const std::string database_;
  const Call& call_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::string> tables_;
  bool over_ = false;
  std::string why_;
  std::thread thread_;
};

// Gathers those of all tables but the catalog that have none, or not all that they are to have: by an index
// on an expression, or a statistics object, made since. The catalog's are left to the server.
void gather_missing_statistics(sys::Sql& sql);

}  // namespace relight::postgres
