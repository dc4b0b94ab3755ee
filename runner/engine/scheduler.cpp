#include "runner/engine/scheduler.h"

#include <unordered_map>

namespace relight {

bool is_settled(const PlannedStep& step, OnFailure runbook, const StepRecord& record) {
  switch (record.state) {
    case StepRecord::State::done:
    case StepRecord::State::skipped:
      return true;
    case StepRecord::State::failed:
      return step.on_failure.value_or(runbook) == OnFailure::go_on;
    default:
      return false;
  }
}

Scheduler::Scheduler(const Plan& plan, const RunRecord& record)
    : waits_for_(plan.steps.size()), freed_by_(plan.steps.size()), settled_(plan.steps.size()) {
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) index[plan.steps[i].name] = i;
  std::size_t barrier = plan.steps.size();  // the last approve above: nothing below starts before it
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    std::set<std::size_t> needs;
    for (const std::string& name : plan.steps[i].after) needs.insert(index.at(name));
    if (barrier < plan.steps.size()) needs.insert(barrier);
    waits_for_[i] = needs.size();
    for (const std::size_t need : needs) freed_by_[need].push_back(i);
    if (needs.empty()) ready_.insert(i);
    if (plan.steps[i].type == approve_type) barrier = i;
  }
  for (std::size_t i = 0; i < plan.steps.size(); ++i)
    if (is_settled(plan.steps[i], plan.on_failure, record.step(plan.steps[i].name))) settled(i);
}

void Scheduler::settled(std::size_t step) {
  if (settled_[step]) return;
  settled_[step] = 1;
  ++settled_count_;
  ready_.erase(step);
  for (const std::size_t next : freed_by_[step])
    if (--waits_for_[next] == 0 && !settled_[next]) ready_.insert(next);
}

const PlannedStep* point_of_no_return(const Plan& plan, const RunRecord& record) {
  for (auto step = plan.steps.rbegin(); step != plan.steps.rend(); ++step) {
    if (step->no_return.empty()) continue;
    const StepRecord& past = record.step(step->name);
    // One that was refused had no effect.
    const bool refused = past.state == StepRecord::State::failed && past.error &&
                         past.error->kind == ErrorKind::refused && past.attempts == 1;
    if (past.touched && !refused) return &*step;
  }
  return nullptr;
}

void need_way_back(const Plan& plan, const RunRecord& record, const std::string& to) {
  const PlannedStep* const point = point_of_no_return(plan, record);
  if (point == nullptr || (!to.empty() && plan.index_of(to) >= plan.index_of(point->name))) return;
  throw Error(ErrorKind::refused, "cannot roll back", record.run,
              "the step " + point->name + " was begun, and there is no way back from it: " + point->no_return,
              "`relight rollback --to " + point->name + "` undoes what came after it");
}

std::vector<std::size_t> rollback_order(const Plan& plan, const RunRecord& record, const std::string& to) {
  std::vector<std::size_t> order;
  for (std::size_t i = plan.steps.size(); i-- > 0;) {
    if (plan.steps[i].name == to) break;
    if (record.step(plan.steps[i].name).touched) order.push_back(i);
  }
  return order;
}

}  // namespace relight
