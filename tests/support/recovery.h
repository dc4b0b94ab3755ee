// What the tests of a recovery share: a server with an archive and a base backup, the step run as the user
// postgres, and a look into what it recovered.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/support/crash.h"
#include "tests/support/postgres.h"

namespace relight {

// A cluster that archives segments of 1 MiB, with the table `t (i int)`, and a base backup of it.
struct Source {
  // `backup`: arguments for pg_basebackup. `prepare`: SQL before the backup.
  explicit Source(const std::vector<std::string>& backup = {"--format=tar"}, const std::string& prepare = "");

  void insert(int number);
  std::string now() const;  // in ISO 8601; later than every commit so far, earlier than the next
  std::string lsn() const;

  Postgres server;
  std::string base;  // its folder
};

// A step with its parameters and its notes, which outlive a kill. The folder is the user postgres' own, for
// targets.
class RecoverAttempt {
 public:
  // The field `data` of what makes a cluster is put in where `params` has none: folder() + "/data".
  explicit RecoverAttempt(const Json& params, const std::string& run = "20261121-102600-test",
                          const std::string& type = "postgres.recover");
  ~RecoverAttempt();

  std::string folder() const { return folder_.path(); }
  std::string data() const { return folder() + "/data"; }

  Outcome preview(
      bool full = false) const;  // {"verdict", "summary", "problems": ["WHAT: ON: WHY"], "hints", ...}
  Outcome apply(const std::string& killed_at = "") const { return apply(crash_at(killed_at)); }
  Outcome apply(FailpointWatch watch) const;
  Outcome undo(const std::string& killed_at = "") const;
  Outcome discard() const;
  Outcome kept() const;
  Outcome check() const;
  std::string digest() const;  // the type's own state digest
  std::string log() const;     // what its attempts have written so far

 private:
  Outcome call(const std::function<Json(const Step&, const Params&, Call&)>& act, FailpointWatch watch,
               bool preview_only = false, bool full = false) const;
  sys::TempFolder folder_;
  std::string params_, run_, type_;
};

// Temporary folders lie in memory from here on, to the end of the process: a recovery syncs its whole file
// system, which on a disk others write to.
void work_in_memory();

// A folder that is given to the user postgres, with all that it holds.
void give_to_postgres(const std::string& path);

// The rows of table `t` of the cluster at `data`, which is started for it and stopped again: "1 2 3".
std::string rows_of(const std::string& data, const std::string& table = "t");

// A query's one value, in one line, from a database of the cluster at `data`, which no server serves.
std::string value_in_stopped(const std::string& data, const std::string& sql, const std::string& database);

// The server that holds a paused copy: "" where there is none; `exact`: and its pid.
std::string server_of_copy(const std::string& data, bool exact = false);
void end_copy(const std::string& data);  // at once; returns when it has ended

// The rows of table `t` of a paused copy, as its own server tells them: "1 2 3".
std::string rows_of_copy(const std::string& url, const std::string& table = "t");

}  // namespace relight
