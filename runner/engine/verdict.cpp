#include "runner/engine/verdict.h"

#include <fmt/core.h>

#include <algorithm>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

using std::chrono::milliseconds;

// The output by which a step of any type tells up to when it recovered.
constexpr const char* commit_output = "last_commit";
// And the one by which it tells up to when the service was alive: without it there may have been nothing to
// lose behind the last commit.
constexpr const char* heartbeat_output = "heartbeat";

std::optional<sys::Time> time_in(const StepRecord& step, const char* output) {
  if (!step.outputs || !step.outputs->is_object() || !step.outputs->contains(output) ||
      !(*step.outputs)[output].is_string())
    return std::nullopt;
  return sys::parse_time((*step.outputs)[output].get<std::string>());
}

// The input named lost_at, where the runbook has one and it was given.
std::optional<sys::Time> lost_at(const Plan& plan) {
  const auto it = plan.inputs->find("lost_at");
  if (it == plan.inputs->end() || !it->is_string()) return std::nullopt;
  return sys::parse_time(it->get<std::string>());
}

milliseconds between(sys::Time from, sys::Time to) {
  return std::chrono::duration_cast<milliseconds>(to - from);
}

Json or_null(const std::optional<milliseconds>& value) {
  return value ? Json(value->count()) : Json(nullptr);
}

void judge(Json& over, const char* name, const std::optional<milliseconds>& budget,
           const std::optional<milliseconds>& measured) {
  if (!budget) return;
  if (!measured)
    over.push_back(fmt::format("{} is unknown, its budget is {}", name, sys::show_duration(*budget)));
  else if (*measured > *budget)
    over.push_back(fmt::format("{} is {}, its budget is {}", name, sys::show_duration(*measured),
                               sys::show_duration(*budget)));
}

}  // namespace

Json verdict_of(const Plan& plan, const RunRecord& record, const std::string& now_wall,
                std::int64_t now_boot_ms) {
  std::optional<sys::Time> last_commit, heartbeat;
  std::int64_t probed_boot = -1, waited_ms = 0;
  std::string probed_wall;
  int probes = 0;
  Json unwaived = Json::array(), waived = Json::array();
  for (const PlannedStep& planned : plan.steps) {
    const StepRecord& step = record.step(planned.name);
    if (planned.type == approve_type && step.state == StepRecord::State::done && step.started_boot_ms > 0)
      waited_ms += step.finished_boot_ms - step.started_boot_ms;
    if (step.state == StepRecord::State::failed)
      planned.waive.empty() ? unwaived.push_back(planned.name)
                            : waived.push_back({{"step", planned.name}, {"why", planned.waive}});
    if (step.state != StepRecord::State::done) continue;
    if (planned.step_type->is_probe) {
      ++probes;
      if (step.finished_boot_ms > probed_boot) {
        probed_boot = step.finished_boot_ms;
        probed_wall = step.finished_at;
      }
    }
    const auto commit = time_in(step, commit_output), beat = time_in(step, heartbeat_output);
    if (commit) last_commit = commit;
    if (commit || beat) heartbeat = beat;
  }
  const auto lost = lost_at(plan);
  // Without a probe nobody has seen the service answer: then the end of the run is all there is.
  const std::string end_wall = probes > 0 ? probed_wall : now_wall;
  const std::int64_t end_boot = probes > 0 ? probed_boot : now_boot_ms;
  // The longer of what the two clocks say: a reboot starts the one anew, the other may be set back.
  std::optional<milliseconds> rto, rpo, rpo_at_least;
  const auto start = sys::parse_time(record.opened_at), end = sys::parse_time(end_wall);
  if (end_boot >= record.opened_boot_ms) rto = milliseconds(end_boot - record.opened_boot_ms);
  if (start && end && *end >= *start) rto = std::max(rto.value_or(milliseconds(0)), between(*start, *end));
  if (rto && lost && start)
    rto = *rto + between(*lost, *start);
  else if (lost)
    rto.reset();
  if (rto && rto->count() < 0) rto.reset();  // lost after its end: one of the two is wrong
  if (lost && (heartbeat || last_commit)) {
    rpo = std::max(milliseconds(0), between(heartbeat ? *heartbeat : *last_commit, *lost));
    rpo_at_least = heartbeat ? *rpo : milliseconds(0);
  }
  Json over = Json::array();
  judge(over, "RTO", plan.budget.rto, rto);
  judge(over, "RPO", plan.budget.rpo, rpo);
  return {{"rto_ms", or_null(rto)},
          {"rto_from", lost ? "lost_at" : "start"},
          {"waited_ms", waited_ms},
          {"rpo_ms", or_null(rpo)},
          {"rpo_at_least_ms", or_null(rpo_at_least)},
          {"last_commit", last_commit ? Json(sys::show_time(*last_commit)) : Json(nullptr)},
          {"lost_at", lost ? Json(sys::show_time(*lost)) : Json(nullptr)},
          {"probes", probes},
          {"over", over},
          {"unwaived", unwaived},
          {"waived", waived}};
}

bool asks_rpo(const Plan& plan, const Json& verdict) {
  if (plan.budget.rpo || !verdict["last_commit"].is_null()) return true;
  for (const PlannedStep& step : plan.steps)
    for (const Output& output : step.step_type->outputs)
      if (output.name == commit_output) return true;
  return false;
}

int exit_of_done(const Json& verdict) {
  return verdict["over"].empty() && verdict["unwaived"].empty() ? 0 : 7;
}

std::vector<std::string> unknown_budgets(const Plan& plan) {
  std::vector<std::string> told;
  if (!plan.budget.rpo) return told;
  if (!lost_at(plan))
    told.push_back("RPO has a budget and will be unknown, so the run ends with 7: lost_at is not given");
  return told;
}

}  // namespace relight
