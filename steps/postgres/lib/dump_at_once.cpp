#include "steps/postgres/lib/dump_at_once.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "runner/sys/failpoint.h"
#include "steps/postgres/lib/dump_goes.h"
#include "steps/postgres/lib/dump_program.h"

namespace relight::postgres {
namespace {

bool meet(const std::set<std::string>& some, const std::set<std::string>& others) {
  return std::any_of(some.begin(), some.end(), [&](const std::string& one) { return others.contains(one); });
}

class ArchiveAtOnce {
 public:
  ArchiveAtOnce(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server, bool tablespaces,
                DumpFeed& feed, Call& call)
      : load_(load),
        look_(look),
        server_(server),
        feed_(feed),
        call_(call),
        program_(load, look, server, call),
        options_(tablespaces ? 0 : 1, "--no-tablespaces") {
    for (const DumpEntry& entry : look.entries)
      if (entry.kind == "TABLE" && chosen(entry)) tables_.insert(entry.number);
  }

  void load() {
    if (!feed_.numbers().empty()) {
      const DumpGoes goes = goes_of(look_.entries, look_.selection.numbers, program_.before_the_rows());
      run(goes.definitions, 1);
      // Rows of tables that an extension brings: what is fed may need them to be computed or checked.
      run(among(goes.rows_and_indexes,
                [&](const DumpEntry& entry) {
                  return entry.kind == "TABLE DATA" && !meet(entry.needs, tables_);
                }),
          1);
      feed_.run(
          server_, call_,
          [&](const std::string& number) {
            done_.insert(number);
            program_.finished(number);
          },
          [&] { run(to_build_now(goes), load_.jobs); });
      failpoint("postgres.load:fed");
    }
    run(look_.entries, load_.jobs);
  }

 private:
  bool chosen(const DumpEntry& entry) const { return look_.selection.numbers.contains(entry.number); }

  template <class Wanted>
  static std::vector<DumpEntry> among(const std::vector<DumpEntry>& entries, const Wanted& wanted) {
    std::vector<DumpEntry> found;
    std::copy_if(entries.begin(), entries.end(), std::back_inserter(found), wanted);
    return found;
  }

  // Of these what is chosen and not done.
  void run(const std::vector<DumpEntry>& entries, int jobs) {
    const auto left = among(
        entries, [&](const DumpEntry& entry) { return chosen(entry) && !done_.contains(entry.number); });
    std::vector<std::string> options = options_;
    if (jobs > 1) options.push_back("--jobs=" + std::to_string(jobs));
    program_.run(left, options);
    for (const DumpEntry& entry : left) done_.insert(entry.number);
  }

  // Indexes and keys of tables that have their rows. By all jobs: the last table may be as good as copied.
  std::vector<DumpEntry> to_build_now(const DumpGoes& goes) const {
    std::set<std::string> wait;
    for (const DumpEntry& entry : look_.entries)
      if (chosen(entry) && !done_.contains(entry.number)) {
        wait.insert(entry.number);
        if (entry.kind == "TABLE DATA") wait.insert(entry.needs.begin(), entry.needs.end());
      }
    return among(goes.rows_and_indexes, [&](const DumpEntry& entry) {
      return (entry.kind == "INDEX" || entry.kind == "CONSTRAINT") && !meet(entry.needs, wait);
    });
  }

  const DumpLoad& load_;
  const DumpLook& look_;
  const DatabaseServer& server_;
  DumpFeed& feed_;
  Call& call_;
  DumpProgram program_;
  const std::vector<std::string> options_;
  std::set<std::string> tables_, done_;  // numbers
};

}  // namespace

void load_archive_at_once(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server,
                          bool tablespaces, DumpFeed& feed, Call& call) {
  ArchiveAtOnce(load, look, server, tablespaces, feed, call).load();
}

}  // namespace relight::postgres
