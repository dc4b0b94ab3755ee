#include <doctest/doctest.h>

#include "runner/cli/summary.h"
#include "runner/sys/json_whole.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"

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

TEST_CASE("a run says NOT PROTECTED until its recovered cluster has a base backup") {
  Source source;
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const std::string steps = R"(
runbook "rebuild" {}
local input = inputs { dir = { doc = "where", type = "path" }, protect = { doc = "to the end", type = "bool" } }
local db = postgres.recover "database" {
  base = ")" + source.base + R"(", wal = { ")" +
                            source.server.archive_folder() + R"(" },
  data = input.dir / "data", archive_into = input.dir / "wal", as = "postgres",
}
service.start "server" {
  command = { ")" + Postgres::program("postgres") +
                            R"(", "-D", input.dir / "data" }, as = "postgres",
  pid_file = input.dir / "pid",
}
if input.protect then
  postgres.base_backup "protect" {
    server = db.url, into = input.dir / "base", as = "postgres", retry = { attempts = 8, backoff = "200ms" },
  }
end
)";
  for (const bool protect : {false, true}) {
    const Bench bench;
    const sys::TempFolder place;
    give_to_postgres(place.path());
    const Ran ran = bench.run(steps, {"--set", "dir=" + place.path(), "--set",
                                      std::string("protect=") + (protect ? "true" : "false")});
    CAPTURE(ran.out);
    CAPTURE(ran.err);
    CHECK(ran.exit == 0);
    CHECK(bench.status()["protected"] == protect);
    for (const std::string& text : {ran.out, bench.relight({"status"}).out, bench.relight({"report"}).out})
      CHECK((text.find("NOT PROTECTED") == std::string::npos) == protect);
    CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
    CHECK_FALSE(sys::exists(place.path() + "/data"));
  }
}
