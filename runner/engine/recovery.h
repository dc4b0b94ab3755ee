// Folds the records of a journal into what has happened so far. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/engine/downtime.h"
#include "runner/sys/error.h"
#include "runner/sys/json.h"

namespace relight {

struct StepRecord {
  // `running`: as long as the process that started it lives. `in_doubt`: started and neither finished nor
  // failed, as seen by a later process; it stays so until a record says otherwise. `waiting`: approve.
  // A failure that will be tried again leaves `pending`, and `in_doubt` where it was an undo that failed.
  // Discarding changes no state.
  enum class State { pending, running, waiting, in_doubt, failed, done, skipped, undone };
  State state = State::pending;
  std::string op;    // of the attempt at hand, or of the one that failed: apply | check | undo | discard
  int attempts = 0;  // applies begun
  // Begun (or asked for) first since it was last undone; finished or skipped.
  std::string started_at, finished_at;
  std::int64_t started_boot_ms = 0, finished_boot_ms = 0;
  // Outputs and notes stay with an undone step, for a discard, until an apply begins afresh.
  std::shared_ptr<const Json> outputs;             // null: none
  std::shared_ptr<const Json> notes = no_notes();  // key -> value; never null
  std::shared_ptr<const Json> kept;                // what discard would free; null: nothing
  std::optional<Error> error;  // of the last failure; a finished step has none, an undone one keeps it
  bool undo_failed = false;
  bool touched = false;    // an apply was started and no undo has ended since: rollback has work here
  bool discarded = false;  // what was kept is freed: it cannot be undone any more
  std::optional<bool> when;
  std::optional<bool> baseline;  // of a probe with proves = "both"
  std::string approved_by;       // of an approve; empty: nobody has yet
  std::string why_skipped;

  static const std::shared_ptr<const Json>& no_notes();
};

struct RunRecord {
  // `failed` too when a rollback failed; `interrupted` too when a rollback has gone back to a step and the
  // run can go on from there.
  enum class State { running, waiting, interrupted, failed, done, rolling_back, rolled_back, abandoned };
  State state = State::running;
  std::string run, runbook, plan_digest, program;
  bool drill = false;
  std::string rollback_to;  // with rolling_back: the step that stays
  bool rollback_failed = false;
  // A rolling_back record stands, and no end but that it failed: a resume goes on with it.
  bool in_rollback = false;
  bool rollback_by_person = false;  // asked for, as against on_failure
  std::string opened_at, ended_at;
  std::int64_t opened_boot_ms = 0;
  int exit_code = 0;
  std::shared_ptr<const Json> verdict;      // of `ended`
  std::map<std::string, StepRecord> steps;  // only those with a record
  std::map<std::string, Watched> watched;   // by the step

  // What the fold itself counts on.
  std::string last_wall;  // of the record before
  bool stopped = false;   // ended or interrupted, and not resumed since
  int in_flight = 0;      // steps that are running or in doubt
  int asking = 0;         // steps that are waiting

  const StepRecord& step(const std::string& name) const;  // an empty one where there is no record
};

// Of the steps that are settled, by name.
std::map<std::string, Json> outputs_of(const RunRecord& run);

const char* name_of(StepRecord::State state);  // "in-doubt"
const char* name_of(RunRecord::State state);   // "rolling-back"

// `live`: the process that writes the journal is running, so a started step is running; else it is in doubt
// and the run is `interrupted` unless it has ended, waits for an approval with nothing in doubt, or its last
// word was a step's failure. A `resumed` puts in doubt what an earlier process had started.
// Throws a needs_person Error for a record that cannot follow.
RunRecord fold(const std::vector<Json>& records, bool live);
void fold_one(RunRecord& run, const Json& record, bool live);

}  // namespace relight
