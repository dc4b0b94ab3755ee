#include "runner/engine/scheduler.h"

#include <doctest/doctest.h>

#include "runner/lang/words.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

PlannedStep step(const std::string& name, std::vector<std::string> after, const char* type = script_type) {
  PlannedStep planned;
  planned.name = name;
  planned.type = type;
  planned.after = std::move(after);
  planned.params = std::make_shared<const Json>(Json::object());
  planned.step_type = &lang::script_word();
  return planned;
}

std::string names(const Plan& plan, const std::set<std::size_t>& steps) {
  std::string text;
  for (const std::size_t i : steps) text += plan.steps[i].name + " ";
  return text;
}

}  // namespace

TEST_CASE("a step is ready when all that it waits for is settled") {
  Plan plan;
  plan.steps = {step("a", {}), step("b", {"a"}), step("c", {"a"}), step("d", {"b", "c"})};
  Scheduler scheduler(plan, RunRecord{});
  CHECK(names(plan, scheduler.ready()) == "a ");
  scheduler.settled(0);
  CHECK(names(plan, scheduler.ready()) == "b c ");
  scheduler.settled(2);
  scheduler.settled(2);  // told twice, counted once
  CHECK(names(plan, scheduler.ready()) == "b ");
  scheduler.settled(1);
  CHECK(names(plan, scheduler.ready()) == "d ");
  scheduler.settled(3);
  CHECK(scheduler.all_settled());
}

TEST_CASE("nothing below an approve begins before it, whatever its after") {
  Plan plan;
  plan.steps = {step("fenced", {}, approve_type), step("free", {})};
  Scheduler scheduler(plan, RunRecord{});
  CHECK(names(plan, scheduler.ready()) == "fenced ");
}

TEST_CASE("a later process goes on from what was recorded") {
  Plan plan;
  plan.steps = {step("a", {}), step("b", {"a"}), step("c", {"b"})};
  RunRecord record;
  record.steps["a"].state = StepRecord::State::done;
  record.steps["b"].state = StepRecord::State::failed;
  SUBCASE("a failed step is ready again") {
    CHECK(names(plan, Scheduler(plan, record).ready()) == "b ");
  }
  SUBCASE("one that may fail is passed") {
    plan.steps[1].on_failure = OnFailure::go_on;
    CHECK(names(plan, Scheduler(plan, record).ready()) == "c ");
  }
}

TEST_CASE("a rollback takes the touched steps, the last in the plan first") {
  Plan plan;
  plan.steps = {step("a", {}), step("b", {}), step("c", {}), step("d", {})};
  RunRecord record;
  for (const char* name : {"a", "b", "d"}) record.steps[name].touched = true;
  CHECK(rollback_order(plan, record, "") == std::vector<std::size_t>{3, 1, 0});
  CHECK(rollback_order(plan, record, "b") == std::vector<std::size_t>{3});
}
