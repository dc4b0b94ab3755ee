#include <doctest/doctest.h>

#include "runner/cli/summary.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

// What the steps of a run told, in the order of the plan; no word of it: null.
std::optional<bool> protected_by(const std::vector<Json>& outputs) {
  static const StepType type;
  Plan plan;
  RunRecord record;
  for (const Json& told : outputs) {
    PlannedStep step;
    step.name = "step" + std::to_string(plan.steps.size());
    step.step_type = &type;
    record.steps[step.name].state = StepRecord::State::done;
    record.steps[step.name].outputs = std::make_shared<const Json>(told);
    plan.steps.push_back(std::move(step));
  }
  return is_protected(plan, record);
}

Json told(bool word, const std::string& cluster) {
  return {{"protected", word}, {"system_identifier", cluster}};
}

}  // namespace

TEST_CASE("a recovered cluster is protected by a later base backup of it, and by no other") {
  CHECK(protected_by({Json::object(), Json{{"protected", nullptr}}}) == std::nullopt);
  CHECK(protected_by({told(false, "7")}) == false);
  CHECK(protected_by({told(false, "7"), told(true, "7")}) == true);
  CHECK(protected_by({told(true, "7"), told(false, "7")}) == false);
  CHECK(protected_by({told(false, "7"), told(true, "8")}) == false);
  CHECK(protected_by({Json{{"protected", false}}}) == false);
  CHECK(protected_by({Json{{"protected", false}}, told(true, "7")}) == true);
}
