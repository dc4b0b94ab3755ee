#include "runner/lang/script.h"

#include <doctest/doctest.h>

#include "runner/lang/words.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// The step "s" of a runbook, as a worker has it: frozen, and with the outputs of other steps put in.
class ScriptTest {
 public:
  explicit ScriptTest(const std::string& text, const std::map<std::string, Json>& outputs = {})
      : runbook_("runbook \"t\" {}\n" + text) {
    const lang::Evaluated evaluated = runbook_.evaluate();
    sys::write_file(folder_.path() + "/plan.json", to_json(evaluated.plan).dump(), 0600);
    for (const lang::SourceFile& file : evaluated.sources)
      sys::write_file(
          (sys::make_folders(folder_.path() + "/runbook"), folder_.path() + "/runbook/" + file.name),
          file.bytes, 0600);
    lang::set_frozen(folder_.path(), evaluated.plan.digest, fake_types());
    planned = *evaluated.plan.find("s");
    secrets.emplace("env:TOKEN", Secret("a secret of the test\n"));
    params = std::make_unique<Params>(lang::script_word().fields, resolve(*planned.params, outputs), secrets);
  }

  Json apply() { return step->apply(*params, call); }
  std::string failure() {
    try {
      return "returned " + apply().dump();
    } catch (const Error& error) {
      return std::string(name_of(error.kind)) + ": " + error.what() +
             (error.hint.empty() ? "" : " | " + error.hint);
    }
  }

  PlannedStep planned;
  TestCall call{"s"};
  Secrets secrets;
  std::unique_ptr<Params> params;
  std::unique_ptr<Step> step = lang::make_script();

 private:
  Runbook runbook_;
  sys::TempFolder folder_;
};

}  // namespace

TEST_CASE("a script runs programs, keeps notes, writes files and returns its outputs") {
  sys::TempFolder folder;
  ScriptTest script("local place = \"" + folder.path() + R"lua(/file"
script "s" {
  outputs = { "said", "exit", "mode" },
  params = { word = "hello" },
  secrets = { token = secret.env "TOKEN" },
  run = function(ctx)
    ctx.note("place", { path = place })
    ctx.write_file(ctx.notes.place.path, ctx.params.word, "0600")
    local said = ctx.run { "/bin/sh", "-c", "echo $WORD $(cat)", env = { WORD = ctx.secrets.token }, stdin = ctx.read_file(place) }
    local ended = ctx.process { argv = { "/bin/sh", "-c", "echo no >&2; exit 3" } }
    ctx.log("ended: " .. ended.stderr)
    return { said = said, exit = ended.exit, mode = ctx.decode(ctx.encode { mode = 384 }).mode }
  end,
  undo = function(ctx, outputs)
    ctx.run { "/bin/rm", "-f", ctx.notes.place.path }
    ctx.log(outputs and outputs.said or "half")
  end,
  check = function(ctx) if ctx.read_file(place) then return { said = "x", exit = 1, mode = 2 } end return false end,
})lua");
  CHECK(script.planned.params->at("secrets") == Json::parse(R"({"token": {"$secret": {"env": "TOKEN"}}})"));
  Json outputs;
  CHECK(script.step->check(*script.params, script.call, outputs) == Done::no);
  const Json got = script.apply();
  CHECK(got == Json::parse(R"({"said": "a secret of the test hello", "exit": 3, "mode": 384})"));
  CHECK(sys::read_file(folder.path() + "/file") == "hello");
  CHECK(script.call.notes()["place"]["path"] == folder.path() + "/file");
  CHECK(std::find(script.call.lines.begin(), script.call.lines.end(), "ended: no\n") !=
        script.call.lines.end());
  CHECK(script.step->check(*script.params, script.call, outputs) == Done::yes);
  CHECK(outputs["said"] == "x");
  script.step->undo(*script.params, script.call, &got);
  CHECK(script.call.lines.back() == "a secret of the test hello");
  CHECK_FALSE(sys::exists(folder.path() + "/file"));
  script.step->undo(*script.params, script.call, nullptr);
  CHECK(script.call.lines.back() == "half");
}

TEST_CASE("JSON nested without an end is not decoded") {
  ScriptTest script(
      "script \"s\" { run = function(ctx) ctx.decode((\"[\"):rep(3000000) .. (\"]\"):rep(3000000)) end }");
  CHECK(script.failure().find("cannot decode JSON: it begins with [[[") != std::string::npos);
}

TEST_CASE("the outputs of steps that a function names, or that `uses` lists, are known in it") {
  const std::string text = R"lua(
local db = postgres.recover "database" { base = "/b", data = "/d" }
local at = { url = "at " .. db.url }
host.file "file" { into = "/x" }
script "s" { after = {}, uses = { "file" }, outputs = { "all" }, run = function(ctx)
  if db.lsn ~= "0/1" then error("not known") end
  return { all = at.url .. " " .. db.lsn .. " " .. ctx.outputs.file.path .. " " .. ctx.outputs.database.url }
end })lua";
  const std::map<std::string, Json> outputs = {{"database", {{"url", "postgres:"}, {"lsn", "0/1"}}},
                                               {"file", {{"path", "/x"}}}};
  ScriptTest script(text, outputs);
  CHECK(script.planned.after == std::vector<std::string>{"database", "file"});
  CHECK(script.apply()["all"] == "at postgres: 0/1 /x postgres:");
}

TEST_CASE("a script that goes wrong says where, and keeps the kind of its helper's error") {
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  error(\"no luck\") end }").failure() ==
        "permanent: the script failed: test.lua:3: no luck");
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  ctx.run { \"/bin/sh\", \"-c\", \"echo why >&2; "
                   "exit 4\" } end }")
            .failure() ==
        "permanent: the program failed: /bin/sh: it exited with 4: why (test.lua:3) | ctx.process { argv = "
        "... } returns the "
        "exit code instead");
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  ctx.sql(\"host=/nowhere\", \"select 1\") end }")
            .failure()
            .starts_with("transient: "));
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  ctx.http { url = \"http://127.0.0.1:1/\" } end }")
            .failure()
            .starts_with("transient: "));
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  ctx.rum { \"x\" } end }").failure() ==
        "permanent: the script failed: test.lua:3: `ctx` has no `rum` | did you mean `ctx.run`?");
  CHECK(ScriptTest("script \"s\" { run = function(ctx)\n  ctx.read_file(\"x\") end }").failure() ==
        "permanent: the script failed: test.lua:3: ctx.read_file: the path must be absolute, but is \"x\"");
  CHECK(ScriptTest("script \"s\" { outputs = { \"a\" }, run = function(ctx) return { b = 1 } end }")
            .failure() ==
        "permanent: the script's `run` went wrong: s: it returned no `a` | return { a = ... }");
  CHECK(ScriptTest("script \"s\" { run = function(ctx) return { b = 1 } end }").failure() ==
        "permanent: the script's `run` went wrong: s: it returned `b`, which the step does not declare | "
        "declare them: outputs = "
        "{ \"NAME\" }");
}

TEST_CASE("a script stops when its step is told to stop, and cannot be undone without an undo function") {
  ScriptTest script("script \"s\" { run = function(ctx) while true do end end }");
  script.call.stop = true;
  CHECK_THROWS_AS(script.apply(), Stopped);
  CHECK_THROWS_WITH_AS(script.step->undo(*script.params, script.call, nullptr),
                       "cannot be undone: s: the script has no `undo` function", Error);
  script.call.preview_only = true;
  const Preview preview = script.step->preview(*script.params, script.call);
  CHECK(preview.summary == "call the function at test.lua:2");
  CHECK(preview.cannot_undo == "what the script changes: it has no `undo` function");
}
