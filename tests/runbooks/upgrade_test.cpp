// The upgrades load, and put their steps in the order in which no write is lost.
#include <doctest/doctest.h>

#include "runner/lang/evaluate.h"
#include "runner/plan/plan.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

Plan plan_of(const std::string& runbook, std::map<std::string, std::string> inputs) {
  inputs.insert({{"from", "1.0.0"}, {"version", "1.1.0"}, {"releases", "/releases"}, {"backup", "/backup"}});
  lang::Given given;
  given.set = inputs;
  return lang::evaluate(
             {.runbook_path = RELIGHT_SOURCE_DIR "/" + runbook, .given = given, .types = step_table()})
      .plan;
}

std::vector<std::string> names_of(const Plan& plan) {
  std::vector<std::string> names;
  for (const PlannedStep& step : plan.steps) names.push_back(step.name);
  return names;
}

}  // namespace

TEST_CASE("an upgrade of AiHummer backs up, verifies, stops, keeps, pins, starts and probes") {
  CHECK(names_of(plan_of("runbooks/aihummer/upgrade.lua",
                         {{"blobs", "/srv/blobs"}, {"unchanged", "select count(*) from conversations"}})) ==
        std::vector<std::string>{"answers",    "well",     "smoke-before", "backup-folder",
                                 "dump",       "archive",  "fingerprints", "seal",
                                 "verified",   "stop",     "content",      "keep-database",
                                 "keep-blobs", "release",  "aihummer",     "ready",
                                 "health",     "migrated", "smoke",        "content-kept"});
}

TEST_CASE("without media there is nothing of it to keep, and a backup that was taken is not taken again") {
  CHECK(names_of(plan_of("runbooks/aihummer/upgrade.lua", {{"max_age", "6h"}})) ==
        std::vector<std::string>{"answers", "well", "smoke-before", "verified", "stop", "keep-database",
                                 "release", "aihummer", "ready", "health", "migrated", "smoke"});
}

TEST_CASE("what is well before an upgrade must be so after its rollback, in the version that ran") {
  for (const char* runbook : {"runbooks/aihummer/upgrade.lua", "examples/ember/upgrade.lua"}) {
    const Plan plan = plan_of(runbook, {});
    CHECK(plan.find("well")->proves == "both");
    CHECK((*plan.find("well")->params).at("expect").at("json").at("version") == "1.0.0");
    CHECK_THROWS_WITH_AS(plan_of(runbook, {{"version", "1.0.0"}}),
                         doctest::Contains("nothing to upgrade: 1.0.0 is the version that runs"),
                         lang::RunbookError);
  }
}
