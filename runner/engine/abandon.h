// Giving a run up: its targets are free, what it changed stays. Works on a damaged journal too, and without
// the plan: that is when it is needed most.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/engine/run_folder.h"
#include "runner/sys/error.h"

namespace relight {

struct Abandoned {
  // Where the damaged journal was put; the one in its place is its valid part, and ends. Empty: it was whole.
  std::string damaged_journal;
  // Steps that were begun and neither done nor taken back: what they have made beside their targets stays.
  std::vector<std::string> begun;
};

// Throws Held when another relight works on the run, a refused Error when the run has ended already (its
// targets are free all the same).
Abandoned abandon_run(const RunFolder& folder);

// A run whose folder was removed and that owns targets still. False: there is no such run. Throws a refused
// Error when it has a folder, in another state folder.
bool abandon_lost_run(const std::string& run);

// Of a run whose last record says that it has ended: frees what a kill just behind that record left owned.
void finish_ending(const RunFolder& folder, RunRecord::State state);

bool has_ended(RunRecord::State state);  // done, rolled back or abandoned: nothing more will come of it

}  // namespace relight
