// Opening a run: one relight at a time, nothing of an earlier one alive, its journal read and mended.
#pragma once
#include <memory>
#include <optional>

#include "runner/engine/recovery.h"
#include "runner/engine/run_folder.h"
#include "runner/journal/writer.h"
#include "runner/sys/files.h"

namespace relight {

struct OpenedRun {
  sys::FileLock lock;   // exclusive; inherited by the keeper, so held until it is gone too
  sys::FileLock alive;  // shared; inherited by everything that the run starts
  RunRecord record;     // as a later process sees it
  std::unique_ptr<JournalWriter> journal;
  bool is_new = false;  // no record yet
};

// Throws Held when another process has the run, a needs_person Error when something of an earlier attempt
// cannot be ended or the journal is damaged.
OpenedRun open_run(const RunFolder& folder);

}  // namespace relight
