// What `resume --amend` changes: which finished steps stay, and whether it may be done at all. Pure.
#pragma once
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/plan/plan.h"

namespace relight {

struct Amendment {
  std::vector<std::string> kept;  // finished steps whose type and parameters are unchanged
  std::string text;               // the difference, a line a step
};

// Throws a refused Error where a step that has changed something is gone, or would change another target: its
// undo would be lost.
Amendment compare(const Plan& before, const Plan& after, const RunRecord& record);

}  // namespace relight
