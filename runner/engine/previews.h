// The previews of a whole plan, each step's by its own user, in workers that can be ended.
#pragma once
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "runner/plan/plan.h"
#include "runner/step/step.h"

namespace relight {

struct RunRecord;

struct PreviewOptions {
  std::string run = "plan";  // names what would lie beside
  bool full = false;         // --depth full: no limit of time
  bool check_secrets = false;
  std::map<std::string, std::string> asked;
  const RunRecord* undo_of = nullptr;  // in place of previews: what an undo of its steps would take
  std::chrono::milliseconds patience = std::chrono::minutes(10);  // with one step's preview; none with `full`
};

struct PlanPreview {
  std::unordered_map<std::string, Preview> steps;  // by name
  std::vector<Problem> problems;  // of the whole: disk space summed, targets held by other runs
  bool refused() const;           // any problem, of a step or of the whole
  // All that is in the way is that another run owns a target.
  bool only_held() const;
  std::size_t held = 0;  // of the problems
};

// What an undo of these steps would put aside or take away (Step::newer), as the hints of each. Where that
// tells, by an Error that needs a person, that a step has no way back, `cannot_undo` says so. Changes
// nothing.
std::unordered_map<std::string, Preview> preview_undo(const Plan& plan, const RunRecord& record,
                                                      const std::vector<std::size_t>& steps,
                                                      const std::map<std::string, std::string>& asked);

// Changes nothing. A preview that cannot be made (its worker died, it did not end in time) is a
// `cannot_yet_tell` that says why; the other steps are previewed all the same.
PlanPreview preview_plan(const Plan& plan, const PreviewOptions& options);

}  // namespace relight
