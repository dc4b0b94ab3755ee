// Opening a run: one relight at a time, nothing of an earlier one alive, its journal read and mended.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/engine/run_folder.h"
#include "runner/journal/writer.h"
#include "runner/sys/files.h"

namespace relight {

struct HeldRun {
  sys::FileLock lock;   // exclusive; inherited by the keeper, so held until it is gone too
  sys::FileLock alive;  // shared; inherited by everything that the run starts
};

// Throws Held when another process has the run, a needs_person Error when something of an earlier attempt
// cannot be ended.
HeldRun hold_run(const RunFolder& folder);

struct OpenedRun {
  RunRecord record;  // as a later process sees it
  std::unique_ptr<JournalWriter> journal;
  bool is_new = false;  // no record yet
};

// Of a held run. Throws a needs_person Error when the journal is damaged.
OpenedRun open_run(const RunFolder& folder);

// The first record of a run's journal.
Json opened_record(const std::string& run, const std::string& runbook, const std::string& plan_digest);

// For who only looks. A run that was killed before its first record has an empty one.
struct SeenRun {
  RunRecord record;           // of the valid part of a damaged journal
  std::vector<Json> records;  // what it was folded from
  bool torn = false;
  std::optional<Error> damage;
};
SeenRun look_at(const RunFolder& folder);

// The record of a run that is not damaged, with `folder` set to the plan that it names; throws the damage.
RunRecord record_of(RunFolder& folder);

}  // namespace relight
