// Folds the records of a journal into what has happened so far. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/json.h"

namespace relight {

struct StepRecord {
  // `in_doubt`: started and neither finished nor failed, as seen by a later process. `waiting`: approve.
  enum class State { pending, running, waiting, in_doubt, failed, done, skipped, undone };
  State state = State::pending;
  std::string op;    // of the attempt at hand: apply | check | undo | discard
  int attempts = 0;  // applies begun
  std::string started_at, finished_at;
  std::int64_t started_boot_ms = 0, finished_boot_ms = 0;
  std::shared_ptr<const Json> outputs;  // null: none
  std::shared_ptr<const Json> notes;    // key -> value; never null
  std::shared_ptr<const Json> kept;     // what discard would free; null: nothing
  std::optional<Error> error;           // of the last failure
  bool undo_failed = false;
  bool touched = false;  // an apply was started and no undo has ended since: rollback has work here
  std::optional<bool> when;
  std::optional<bool> baseline;  // of a probe with proves = "both"
  std::string why_skipped;
};

struct RunRecord {
  enum class State { running, waiting, interrupted, failed, done, rolling_back, rolled_back, abandoned };
  State state = State::running;
  std::string run, runbook, plan_digest, program;
  bool drill = false;
  std::string rollback_to;  // with rolling_back: the step that stays
  bool rollback_failed = false;
  bool in_rollback = false;  // a rolling_back record stands and has not ended: a resume goes on with it
  bool rollback_by_person = false;  // asked for, as against on_failure
  std::string opened_at, ended_at;
  std::int64_t opened_boot_ms = 0;
  int exit_code = 0;
  std::shared_ptr<const Json> verdict;      // of `ended`
  std::map<std::string, StepRecord> steps;  // only those with a record

  const StepRecord& step(const std::string& name) const;  // an empty one where there is no record
};

const char* name_of(StepRecord::State state);  // "in-doubt"
const char* name_of(RunRecord::State state);   // "rolling-back"

// `live`: the process that writes the journal is running, so a started step is running; else it is in doubt
// and the run is `interrupted` unless its last word was another. Throws a needs_person Error for a record
// that cannot follow.
RunRecord fold(const std::vector<Json>& records, bool live);
void fold_one(RunRecord& run, const Json& record, bool live);

}  // namespace relight
