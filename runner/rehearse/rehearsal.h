// A rehearsal of a plan: its steps simulated, relight killed wherever something happens, in the run, in the
// resume after that, and in the rollback. It answers whether this runbook would come back, before it has to.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runner/plan/plan.h"

namespace relight {

struct Finding {     // a point from which the runbook would not come back by itself
  std::string when;  // "killed after record 6 (started mail)", "in a rollback", "when mail fails"
  std::size_t record =
      0;             // the last on disk when relight was killed, from 1; 0: it was not, or before the first
  std::string step;  // the step at fault; empty: the runbook
  std::string what, mend;
};

struct Rehearsal {
  std::size_t records = 0;  // of a run without a fault
  std::size_t run_kills = 0, resume_kills = 0, rollback_kills = 0, failures = 0;
  std::vector<Finding> findings;  // the first of each step and kind, in the order of the records
};

// Touches nothing. Deterministic: the same plan and seed give the same answer. Approvals are given.
Rehearsal rehearse(const Plan& plan, std::uint64_t seed);

}  // namespace relight
