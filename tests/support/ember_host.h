// A host on which Ember 1.0.0 runs, to be upgraded: its own PostgreSQL, its folder, and the releases to come.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runner/sys/http.h"
#include "tests/support/mounted.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"

namespace relight {

struct EmberOptions {
  int drain = 0;     // for how many milliseconds it goes on answering once it was told to stop
  std::string disk;  // the size of a file system of its own for its folder; empty: none
};

struct EmberHost : Bench {
  explicit EmberHost(const EmberOptions& options = {});
  ~EmberHost();

  sys::HttpAnswer ask(const std::string& method, const std::string& path, const std::string& body = "") const;
  // All that Ember's API shows, but for the links' tokens, and what the database holds beside it.
  std::string content() const;
  std::string version() const;
  int pid() const;
  void shell(const std::string& text) const;

  // `relight run` of its upgrade, or `plan`; the backup goes into a folder of its own for each.
  std::vector<std::string> words(const std::string& to, const std::string& command = "run");
  Ran upgrade(const std::string& to, const std::vector<std::string>& more = {});

  // A failed check unless the old version answers with the old data, and the backup of the attempt verifies.
  bool is_back() const;

  // What the last upgrade has kept is removed by hand, the database's copy and the blobs'.
  void lose_copies() const;

  std::unique_ptr<Mounted> disk;
  Postgres postgres;
  int port = free_port();
  std::string home, releases;
  std::string before;  // the content, as it was first
  std::string backup;  // of the last words()

 private:
  int backups_ = 0;
};

// Starts it, and kills relight when it says so of the step; false: it ended without.
bool killed_when(const Bench& bench, std::vector<std::string> words, const std::string& step,
                 const std::string& event);

}  // namespace relight
