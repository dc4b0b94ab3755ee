#include "runner/engine/verdict.h"

#include <doctest/doctest.h>

#include "runner/lang/words.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

const StepType& probe_type() {
  static const StepType type = [] {
    StepType made;
    made.name = "probe.test";
    made.is_probe = true;
    return made;
  }();
  return type;
}

struct Case {
  Plan plan;
  RunRecord record;

  explicit Case(const std::string& inputs = "{}") {
    plan.inputs = std::make_shared<const Json>(Json::parse(inputs));
    PlannedStep database, ready;
    database.name = "database";
    database.step_type = &lang::script_word();
    ready.name = "ready";
    ready.step_type = &probe_type();
    plan.steps = {database, ready};
    record.opened_at = "2026-11-21T10:00:00Z";
    record.opened_boot_ms = 1000;
    StepRecord& done = record.steps["database"];
    done.state = StepRecord::State::done;
    done.outputs = std::make_shared<const Json>(Json{{"last_commit", "2026-11-21T09:58:30Z"}});
    StepRecord& probed = record.steps["ready"];
    probed.state = StepRecord::State::done;
    probed.finished_at = "2026-11-21T10:04:00Z";
    probed.finished_boot_ms = 241000;
  }
  Json verdict() const { return verdict_of(plan, record, "2026-11-21T10:30:00Z", 1801000); }
};

}  // namespace

TEST_CASE("RTO runs from the start to the last probe, RPO is unknown without the moment of loss") {
  Case c;
  c.plan.budget.rto = std::chrono::minutes(5);
  CHECK(c.verdict()["rto_ms"] == 240000);
  CHECK(c.verdict()["rto_from"] == "start");
  CHECK(c.verdict()["rpo_ms"].is_null());
  CHECK(c.verdict()["rpo_at_least_ms"].is_null());
  CHECK(exit_of_done(c.verdict()) == 0);
  c.plan.budget.rpo = std::chrono::minutes(5);
  CHECK(c.verdict()["over"][0] == "RPO is unknown, its budget is 5m 00s");
  CHECK(exit_of_done(c.verdict()) == 7);
  CHECK(unknown_budgets(c.plan).size() == 1);
}

TEST_CASE("with the moment of loss both run from it") {
  Case c(R"({"lost_at": "2026-11-21T09:59:00Z"})");
  c.plan.budget.rto = std::chrono::minutes(4);
  c.plan.budget.rpo = std::chrono::minutes(1);
  CHECK(c.verdict()["rto_ms"] == 300000);
  CHECK(c.verdict()["rpo_ms"] == 30000);
  CHECK(c.verdict()["rpo_at_least_ms"] == 0);
  CHECK(c.verdict()["over"].size() == 1);
  CHECK(unknown_budgets(c.plan).empty());
}

TEST_CASE("with a heartbeat what was lost is known, and it is reckoned from there") {
  Case c(R"({"lost_at": "2026-11-21T09:59:00Z"})");
  Json outputs = *c.record.steps["database"].outputs;
  outputs["heartbeat"] = "2026-11-21T09:58:20Z";
  c.record.steps["database"].outputs = std::make_shared<const Json>(outputs);
  CHECK(c.verdict()["rpo_ms"] == 40000);
  CHECK(c.verdict()["rpo_at_least_ms"] == 40000);
}

TEST_CASE("a host that was rebooted meanwhile is measured by the clock") {
  Case c;
  c.record.steps["ready"].finished_boot_ms = 500;
  CHECK(c.verdict()["rto_ms"] == 240000);
}

TEST_CASE("a clock that was set back makes no recovery shorter, and a budget is not met by it") {
  Case c("{\"lost_at\":\"2026-11-21T09:50:00Z\"}");
  c.plan.budget.rto = std::chrono::hours(1);
  c.record.steps["ready"].finished_at = "2026-11-20T10:04:00Z";
  CHECK(c.verdict()["rto_ms"] == 840000);
  c.record.steps["ready"].finished_boot_ms = 500;  // and the host rebooted
  CHECK(c.verdict()["rto_ms"].is_null());
  CHECK(exit_of_done(c.verdict()) == 7);
  Case later("{\"lost_at\":\"2026-11-22T09:50:00Z\"}");
  later.plan.budget.rto = std::chrono::hours(1);
  CHECK(later.verdict()["rto_ms"].is_null());
  CHECK(exit_of_done(later.verdict()) == 7);
}

TEST_CASE("a host that has been up for long since its reboot is measured by the clock") {
  Case c;
  c.record.opened_at = "2026-11-21T09:00:00Z";
  CHECK(c.verdict()["rto_ms"] == 3840000);
}

TEST_CASE("an error that was passed over is told, waived or not") {
  Case c;
  c.record.steps["database"].state = StepRecord::State::failed;
  CHECK(c.verdict()["unwaived"][0] == "database");
  CHECK(exit_of_done(c.verdict()) == 7);
  c.plan.steps[0].waive = "the cache fills itself";
  CHECK(c.verdict()["waived"][0]["why"] == "the cache fills itself");
  CHECK(exit_of_done(c.verdict()) == 0);
}

TEST_CASE("RPO is told where there is one to tell") {
  Case c;
  CHECK(asks_rpo(c.plan, c.verdict()));
  c.record.steps["database"].outputs = std::make_shared<const Json>(Json::object());
  CHECK_FALSE(asks_rpo(c.plan, c.verdict()));
  c.plan.budget.rpo = std::chrono::minutes(5);
  CHECK(asks_rpo(c.plan, c.verdict()));
  c.plan.budget.rpo.reset();
  StepType database;
  database.outputs = {{"last_commit", "when"}};
  c.plan.steps[0].step_type = &database;
  CHECK(asks_rpo(c.plan, c.verdict()));
}
