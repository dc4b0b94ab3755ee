#include "runner/cli/amend.h"

#include <fmt/core.h>

#include "runner/step/value.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

std::vector<std::string> targets_of(const PlannedStep& step) {
  if (step.step_type->make == nullptr) return {};
  const Secrets none;
  return step.step_type->make()->targets(Params(step.step_type->fields, *step.params, none));
}

Error refusal(const std::string& step, const std::string& why) {
  return Error(ErrorKind::refused, "cannot go on with the mended runbook", step, why,
               "roll back to the step before it first: relight rollback --to STEP");
}

std::string changed_fields(const PlannedStep& before, const PlannedStep& after) {
  std::string text;
  const auto tell = [&](const std::string& name, const Json* was, const Json* is) {
    text += fmt::format("    {}: {} -> {}\n", name, was == nullptr ? "(not given)" : shown(*was),
                        is == nullptr ? "(not given)" : shown(*is));
  };
  for (auto it = after.params->begin(); it != after.params->end(); ++it) {
    const auto was = before.params->find(it.key());
    if (was == before.params->end() || *was != *it)
      tell(it.key(), was == before.params->end() ? nullptr : &*was, &*it);
  }
  for (auto it = before.params->begin(); it != before.params->end(); ++it)
    if (!after.params->contains(it.key())) tell(it.key(), &*it, nullptr);
  return text;
}

}  // namespace

Amendment compare(const Plan& before, const Plan& after, const RunRecord& record) {
  Amendment amendment;
  for (const PlannedStep& old : before.steps) {
    const StepRecord& past = record.step(old.name);
    const PlannedStep* now = after.find(old.name);
    if (now == nullptr) {
      if (past.touched)
        throw refusal(old.name, "the step has changed something, and the mended runbook has it no more");
      amendment.text += "  " + old.name + ": gone\n";
      continue;
    }
    const bool same = now->type == old.type && *now->params == *old.params;
    if (past.touched && (now->type != old.type || targets_of(*now) != targets_of(old)))
      throw refusal(old.name, "the step has changed something, and would now change something else");
    const bool finished = past.state == StepRecord::State::done || past.state == StepRecord::State::skipped;
    if (same && finished) amendment.kept.push_back(old.name);
    if (!same)
      amendment.text += fmt::format("  {}: changed{}\n{}", old.name, finished ? ", and will run again" : "",
                                    changed_fields(old, *now));
  }
  for (const PlannedStep& step : after.steps)
    if (before.find(step.name) == nullptr) amendment.text += "  " + step.name + ": new\n";
  amendment.text = amendment.text.empty() ? "the mended runbook changes no step\n"
                                          : "the mended runbook changes\n" + amendment.text;
  return amendment;
}

}  // namespace relight
