// Which step may begin next. Pure: it sees the plan and what has been recorded, nothing else.
#pragma once
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/plan/plan.h"

namespace relight {

// True where what waits for the step may go on: done, skipped, or failed for good with on_failure =
// "continue".
bool is_settled(const PlannedStep& step, OnFailure runbook, const StepRecord& record);

class Scheduler {
 public:
  Scheduler(const Plan& plan, const RunRecord& record);

  // The steps that are not settled and wait for nothing, in plan order.
  const std::set<std::size_t>& ready() const { return ready_; }
  bool all_settled() const { return settled_count_ == waits_for_.size(); }

  // Called once for each step that has become settled.
  void settled(std::size_t step);

 private:
  std::vector<std::size_t> waits_for_;              // how many steps it still waits for
  std::vector<std::vector<std::size_t>> freed_by_;  // who waits for it
  std::vector<char> settled_;
  std::set<std::size_t> ready_;
  std::size_t settled_count_ = 0;
};

// The last step that was begun and has no way back (its `no_return`); nullptr: none. Nothing that stands
// above it is undone any more.
const PlannedStep* point_of_no_return(const Plan& plan, const RunRecord& record);
// Throws a refused Error where a rollback to `to` ("": of all) would pass that point.
void need_way_back(const Plan& plan, const RunRecord& record, const std::string& to);

// What a rollback has to undo: the touched steps behind `to` ("": all), last in the plan first.
std::vector<std::size_t> rollback_order(const Plan& plan, const RunRecord& record, const std::string& to);

}  // namespace relight
