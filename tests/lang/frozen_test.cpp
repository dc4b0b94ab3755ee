#include "runner/lang/frozen.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

namespace {

const char* const text = R"lua(
runbook "t" {}
local input = inputs { wanted = {} }
local rules = require "rules"
local release_step = release.pin "release" { product = "p", version = "1", from = "/f", into = "/i" }
local url = "at " .. release_step.version
shell.run "by-outputs" { command = { "a" }, when = function(o) return o.release.changed and o.release.version == input.wanted end }
shell.run "by-local"   { command = { "a" }, when = function() return url == "at 2" and release_step.changed end }
shell.run "by-module"  { command = { "a" }, when = rules.changed(release_step) }
shell.run "not-a-truth" { command = { "a" }, when = function(o) return o.release.version end }
shell.run "endless"    { command = { "a" }, when = function(o) while true do end end }
shell.run "elsewhere"  { command = { "a" }, after = {}, when = function(o)
  local name = "release"
  return o[name].changed end }
)lua";

// Evaluates, and freezes what came of it as the engine does.
Plan freeze(Runbook& runbook, const std::string& folder) {
  const lang::Evaluated evaluated = runbook.evaluate();
  sys::write_file(folder + "/plan.json", to_json(evaluated.plan).dump(), 0600);
  for (const lang::SourceFile& file : evaluated.sources) {
    sys::make_folders(sys::parent_of(folder + "/runbook/" + file.name));
    sys::write_file(folder + "/runbook/" + file.name, file.bytes, 0600);
  }
  return evaluated.plan;
}

std::string refusal_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const Error& error) {
    return std::string(error.what()) + (error.hint.empty() ? "" : " | " + error.hint);
  }
}

}  // namespace

TEST_CASE(
    "a when function is asked in the frozen runbook, with the outputs of the steps that its step waits for") {
  Runbook runbook(text);
  runbook.set("wanted", "2")
      .with("rules.lua", "return { changed = function(pin) return function() return pin.changed end end }");
  sys::TempFolder folder;
  const Plan plan = freeze(runbook, folder.path());
  // What lies beside the runbook no longer counts.
  runbook.with("rules.lua", "error('changed')");
  lang::set_frozen(folder.path(), plan.digest, fake_types());

  const Json changed = Json::parse(R"({"release": {"changed": true, "version": "2", "before": "1"}})");
  const Json same = Json::parse(R"({"release": {"changed": false, "version": "2", "before": "2"}})");
  for (const char* step : {"by-outputs", "by-local", "by-module"}) {
    CAPTURE(step);
    CHECK(lang::call_when(step, changed));
    CHECK_FALSE(lang::call_when(step, same));
  }
  CHECK_FALSE(
      lang::call_when("by-outputs", Json::parse(R"({"release": {"changed": true, "version": "3"}})")));

  CHECK(refusal_of([&] { lang::call_when("not-a-truth", changed); }) ==
        "test.lua:10: step \"not-a-truth\": `when` must return true or false, but returned a string | "
        "compare: return "
        "o.STEP.OUTPUT == VALUE");
  CHECK(refusal_of([&] { lang::call_when("endless", changed); }) ==
        "test.lua:11: it has run 200 million instructions without an end | is there a loop that never ends? "
        "what takes work "
        "belongs into a step");
  CHECK(refusal_of([&] { lang::call_when("elsewhere", changed); }) == "test.lua:14: `o` has no `release`");
}

TEST_CASE("a frozen runbook that was changed is not called") {
  Runbook runbook(text);
  runbook.set("wanted", "2")
      .with("rules.lua", "return { changed = function(pin) return function() return pin.changed end end }");
  sys::TempFolder folder;
  const Plan plan = freeze(runbook, folder.path());
  const std::string hint =
      " | the run's folder was changed by hand, or the run was started by another version of relight";
  sys::write_file(folder.path() + "/runbook/rules.lua",
                  "return { changed = function() return function() return true end end }", 0600);
  lang::set_frozen(folder.path(), plan.digest, fake_types());
  CHECK(refusal_of([] { lang::call_when("by-module", Json::object()); }) ==
        "cannot call a function of the runbook: the run's frozen runbook: it gives another plan than the one "
        "that the run was "
        "started with" +
            hint);
  sys::remove_file(folder.path() + "/runbook/rules.lua");
  lang::set_frozen(folder.path(), plan.digest, fake_types());
  CHECK(refusal_of([] { lang::call_when("by-module", Json::object()); }) ==
        "test.lua:4: cannot require \"rules\": it is not among the run's frozen files | the run's folder was "
        "changed by hand");
}
