// pg_restore on some items of an archive: its progress, and its errors with the item's name.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "steps/postgres/lib/dump_load.h"

namespace relight::postgres {

class DumpProgram {
 public:
  // All that it is given outlives it.
  DumpProgram(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server, Call& call);

  std::set<std::string> before_the_rows() const;  // the numbers of the section pre-data

  // Whether rows come by COPY, each table's into that table itself: only then do rows in a table tell that
  // all of them are there. Looks at one table's.
  bool copies_into_its_tables() const;

  // Restores these and no others, in their order; none: does nothing. The progress goes on from the run
  // before.
  void run(const std::vector<DumpEntry>& entries, const std::vector<std::string>& options);
  void done_already(const DumpEntry& entry);  // for the progress
  void finished(const std::string& number);   // by somebody else, just now
  // Called with the number of every item that run() has finished, as soon as pg_restore says so.
  void on_finished(std::function<void(const std::string&)> told) { finished_one_ = std::move(told); }

 private:
  void heard(const std::string& line);
  void tell_progress();
  std::uint64_t bytes_of(const std::string& number) const;

  const DumpLoad& load_;
  const DumpLook& look_;
  const DatabaseServer& server_;
  Call& call_;
  std::map<std::string, std::uint64_t> sizes_;  // of the files of a directory dump, by number
  std::uint64_t items_ = 0, bytes_ = 0, all_bytes_ = 0;
  std::set<std::string> finished_;
  std::set<std::string> at_hand_;  // begun, and not finished
  std::string failed_;             // of which a line told
  std::function<void(const std::string&)> finished_one_;
};

}  // namespace relight::postgres
