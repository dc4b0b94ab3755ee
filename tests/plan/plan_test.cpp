#include "runner/plan/plan.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

namespace {

Plan whole_plan() {
  return Runbook(
             R"lua(runbook "t" { doc = "a \"book\"", on_failure = "rollback", budget = { rto = "1h", rpo = "5m" } }
local input = inputs { note = { default = "quotes \" and \\ and \n and é" } }
local a = shell.run "a" { command = { input.note }, as = "nobody", timeout = "2m", retry = { attempts = 3, backoff = "2s" },
  when = function(o) return true end, defaults = { stdout = "none" }, in_doubt = "undo", on_failure = "continue",
  waive = "why \"not\"", doc = "a step" }
probe.command "p" { command = { a.stdout }, proves = "both", after = {} })lua")
      .plan();
}

}  // namespace

TEST_CASE("a plan survives its JSON and its text, every field of it") {
  const Plan plan = whole_plan();
  std::vector<const StepType*> types = fake_types();
  const std::string json = to_json(plan).dump();
  CHECK(to_json(plan_from_json(Json::parse(json), types)).dump() == json);
  CHECK(to_json(plan_from_text(text_of(plan), plan.digest, types)).dump() == json);
  CHECK(digest_of(plan) == plan.digest);
  const Plan read = plan_from_json(Json::parse(json), types);
  CHECK(read.doc == "a \"book\"");
  CHECK(read.budget.rpo->count() == 300000);
  CHECK(read.steps[0].waive == "why \"not\"");
  CHECK((*read.steps[0].params)["command"][0] == "quotes \" and \\ and \n and é");
  CHECK(read.steps[1].after == std::vector<std::string>{"a"});
  CHECK(read.find("p")->step_type->name == "probe.command");
}

TEST_CASE("the text of a plan holds every value as JSON writes it") {
  const Json params =
      Json::parse(R"({"a": [], "b": {}, "c": null, "d": [1, -2, 0.5, true, "x"], "é \"\\\n\u0001": "\u007f/",
    "e": {"f": [{"g": ["h", {"i": "j"}]}, []], "k": ""}})");
  Plan plan = whole_plan();
  plan.steps[1].params = std::make_shared<const Json>(params);
  CHECK(text_of(plan).find("\"params\":" + params.dump() + ",") != std::string::npos);
}

TEST_CASE("a plan that was changed by hand is not trusted") {
  const Plan plan = whole_plan();
  Json json = to_json(plan);
  json["steps"][0]["as"] = "root";
  CHECK_THROWS_WITH_AS(plan_from_json(json, fake_types()),
                       "cannot trust the plan: plan.json: its digest is not that of its text", Error);
  CHECK_THROWS_AS(plan_from_text(text_of(plan) + " ", plan.digest, fake_types()), Error);
  json = to_json(plan);
  json.erase("steps");
  CHECK_THROWS_AS(plan_from_json(json, fake_types()), Error);
  for (const char* field : {"name", "type", "file", "line", "after", "params"}) {
    json = to_json(plan);
    json["steps"][1].erase(field);
    CHECK_THROWS_AS(plan_from_json(json, fake_types()), Error);
    json["steps"][1][field] = 1.5;
    CHECK_THROWS_AS(plan_from_json(json, fake_types()), Error);
  }
}
