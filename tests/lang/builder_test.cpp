#include "runner/lang/builder.h"

#include <doctest/doctest.h>

#include "runner/lang/words.h"
#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

namespace {
std::string order(const std::string& text) {
  std::string all;
  for (const PlannedStep& step : Runbook("runbook \"t\" {}\n" + text).plan().steps) {
    all += (all.empty() ? "" : "; ") + step.name + ":";
    for (const std::string& name : step.after) all += " " + name;
  }
  return all;
}
std::string run(const std::string& name, const std::string& fields = "") {
  return "local " + name + " = shell.run \"" + name + "\" { command = { \"a\" }" +
         (fields.empty() ? "" : ", " + fields) + " }\n";
}
}  // namespace

TEST_CASE("a step waits for every step above it, and as little of that as says it is kept") {
  CHECK(order(run("a") + run("b") + run("c")) == "a:; b: a; c: b");
  CHECK(order(run("a") + run("b", "after = {}") + run("c")) == "a:; b:; c: a b");
  CHECK(order(run("a") + run("b", "after = { a }") + run("c", "after = { \"a\" }") + run("d") + run("e")) ==
        "a:; b: a; c: a; d: b c; e: d");
}

TEST_CASE("a handle in a parameter, or in a function, adds its step to after") {
  CHECK(order(run("a") + run("b") + run("c", "after = {}, env = { X = a.stdout .. \"x\" }")) ==
        "a:; b: a; c: a");
  CHECK(order(run("a") + run("b") + run("c", "after = {}, when = function(o) return a.exit == 0 end")) ==
        "a:; b: a; c: a");
  CHECK(order(run("a") + run("b") + "local f = function() return b.exit end\n" +
              "script \"c\" { after = {}, run = function(ctx) f() end }") == "a:; b: a; c: b");
}

TEST_CASE("no step starts before an approve above it") {
  CHECK(order(run("a") + "approve \"yes\" { prompt = \"?\" }\n" + run("b", "after = {}") +
              run("c", "after = { a }") + run("d", "after = { b }")) == "a:; yes: a; b: yes; c: a yes; d: b");
  CHECK(order("approve \"one\" { prompt = \"?\" }\napprove \"two\" { prompt = \"?\", after = {} }\n" +
              run("a", "after = {}")) == "one:; two: one; a: two");
}

TEST_CASE("the fields that every step takes stand in the plan, and not in its parameters") {
  const Plan plan = Runbook(R"lua(runbook "t" { on_failure = "rollback", budget = { rto = "1h" }, doc = "d" }
shell.run "a" { command = { "a" }, as = "nobody", timeout = "2m", retry = { attempts = 3, backoff = "2s" }, when = false,
  defaults = { stdout = "none" }, in_doubt = "undo", on_failure = "continue", waive = "why not", doc = "a step" }
probe.command "p" { command = { "p" }, proves = "both", when = function(o) return o.a.stdout == "x" end })lua")
                        .plan();
  CHECK(plan.on_failure == OnFailure::rollback);
  CHECK_FALSE(plan.budget.rpo);
  const PlannedStep& a = plan.steps[0];
  CHECK(a.params->dump() == R"({"command":["a"]})");
  CHECK(a.as == "nobody");
  CHECK(a.timeout.count() == 120000);
  CHECK(a.attempts == 3);
  CHECK(a.backoff.count() == 2000);
  CHECK(*a.when == false);
  CHECK((*a.defaults)["stdout"] == "none");
  CHECK(a.in_doubt == InDoubt::undo);
  CHECK(a.on_failure == OnFailure::go_on);
  CHECK(a.waive == "why not");
  CHECK(a.doc == "a step");
  CHECK(plan.steps[1].proves == "both");
  CHECK((*plan.steps[1].when)["$function"]["line"] == 4);
}

TEST_CASE("fields are checked by the type's schema, at the field's own line") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" {
  command = { "/bin/true" },
  timeout = 30,
  retry = { attempts = "x", back = 1 },
})lua")
            .refusal() ==
        "test.lua:4: step \"y\": `timeout` must be a duration, but is the number 30 | write \"30s\"\n"
        "test.lua:5: step \"y\": `retry.attempts` must be a whole number, but is the text \"x\" | write it "
        "as in attempts = 3\n"
        "test.lua:5: step \"y\": `retry.back` is not there | it takes attempts, backoff");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = "ls -l" })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `command` must be a list of texts, but is the text \"ls -l\" | write { \"ls "
        "-l\" }");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/true" }, timeot = "3s" })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `timeot` is no field of shell.run | did you mean `timeout`?");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/true" }, on = "db1" })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `on` names a host, and hosts are not there yet: every step runs on this one "
        "| leave it out");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" { { "x" } })lua")
            .refusal() ==
        "test.lua:2: step \"a\": a value stands without its field's name | write FIELD = VALUE\n"
        "test.lua:2: step \"a\": `command` is missing | write command = { \"/bin/true\" }");
  CHECK(Runbook(R"lua(runbook "t" {}
approve "x" { })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `prompt` is missing | write prompt = \"Is the old host off?\"");
}

TEST_CASE("the fields that every step takes") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "x" { command = { "a" }, in_doubt = "agian", on_failure = "stp" })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `in_doubt` must be one of again, ask, undo, but is the text \"agian\" | did "
        "you mean \"again\"?\n"
        "test.lua:2: step \"x\": `on_failure` must be one of stop, rollback, continue, but is the text "
        "\"stp\" | did you mean \"stop\"?");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" { command = { "a" }, timeout = "0s" })lua")
            .refusal() ==
        "test.lua:2: step \"a\": `timeout` is zero: every attempt would be ended at once | leave it out for "
        "none");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" { command = { "a" }, as = "" })lua")
            .refusal() == "test.lua:2: step \"a\": `as` is empty | leave it out, or write \"postgres\"");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
shell.run "a" { command = { "a" }, as = db.url })lua")
            .refusal() ==
        "test.lua:3: step \"a\": `as` must be known while the runbook is read, but is <database.url> | write "
        "the value itself, or take it from an input");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" { command = { "a" }, waive = "x" })lua")
            .refusal() ==
        "test.lua:2: step \"a\": `waive` says why a failure does no harm, but the step does not go on after "
        "one | write on_failure = \"continue\", too");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" { command = { "a" }, proves = "both" })lua")
            .refusal() ==
        "test.lua:2: step \"a\": `proves` is no field of shell.run | it takes command, env, creates, and "
        "what every step takes: `relight steps shell.run`");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.command "a" { command = { "a" }, proves = "bth" })lua")
            .refusal() ==
        "test.lua:2: step \"a\": `proves` must be one of run, both, but is the text \"bth\" | did you mean "
        "\"both\"?");
  CHECK(Runbook(R"lua(runbook "t" {}
local a = shell.run "a" { command = { "a" }, when = function(o) return true end, defaults = { stout = "1" } })lua")
            .refusal() ==
        "test.lua:2: step \"a\": `defaults.stout` is no output of the step | did you mean `stdout`?");
}

TEST_CASE("names of steps") {
  CHECK(
      Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/true" } }
shell.run "y" { command = { "/bin/true" } })lua")
          .refusal() ==
      "test.lua:3: step \"y\": the name is taken by the step at test.lua:2 | give one of them another name");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "bad name" { command = { "a" } })lua")
            .refusal() ==
        "test.lua:2: the name \"bad name\" of a step may hold letters, digits, - _ and . only | write a "
        "short name, as \"database\"");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "" { command = { "a" } })lua")
            .refusal() ==
        "test.lua:2: the name \"\" of a step is empty | write a short name, as \"database\"");
  CHECK(Runbook(R"lua(runbook "t" {}
for i = 1, 20001 do shell.run("s" .. i) { command = { "a" } } end)lua")
            .refusal() == "test.lua:2: a runbook has at most 20000 steps | is there a loop that never ends?");
}

TEST_CASE("after is a list of steps above") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/true" }, after = "z" })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `after` must be a list of steps | write after = { \"z\" }");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "x" { command = { "a" }, after = { 5 } })lua")
            .refusal() == "test.lua:2: step \"x\": `after` holds a number | write names or handles of steps");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
shell.run "x" { command = { "a" }, after = { db.url } })lua")
            .refusal() ==
        "test.lua:3: step \"x\": `after` holds a value of a step, not a step | write the handle, or the "
        "step's name");
}

TEST_CASE("when is true, false or a function") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "x" { command = { "a" }, when = 5 })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `when` must be true, false or a function, but is a number | write when = "
        "function(o) return o.STEP.OUTPUT end");
  CHECK(Runbook(R"lua(runbook "t" {}
local rel = release.pin "release" { product = "p", version = "1", from = "/f", into = "/i" }
shell.run "a" { command = { "a" }, when = rel.changed })lua")
            .refusal() ==
        "test.lua:3: step \"a\": `when` is the value <release.changed>, which is not known yet | write a "
        "function: when = function(o) return o.release.changed end");
  CHECK(Runbook(R"lua(runbook "t" {}
script "x" { run = tostring })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `run` is a function of Lua itself | write function(...) ... end");
  CHECK(Runbook(R"lua(runbook "t" {}
script "s" { run = "x" })lua")
            .refusal() ==
        "test.lua:2: step \"s\": `run` must be a function, but is the text \"x\" | write it as in "
        "function(ctx) ctx.run { \"/usr/bin/sync\" } end");
  CHECK(Runbook(R"lua(runbook "t" {}
script "x" { run = function() end, uses = "a" })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `uses` must be a list of steps | write uses = { \"database\" }");
  CHECK(Runbook(R"lua(runbook "t" {}
script "x" { run = function() end, uses = { "a", 5 } })lua")
            .refusal() ==
        "test.lua:2: step \"x\": `uses` names the step \"a\", which is not above | write names or handles of "
        "steps above\n"
        "test.lua:2: step \"x\": `uses` holds what is no step | write names or handles of steps above");
}

namespace {
Runbook real(const std::string& text) {
  return Runbook(text).types(step_table());
}
}  // namespace

TEST_CASE("a point of no return is asked for, and a watch needs nothing of the run") {
  const char* const asked = R"lua(runbook "t" {}
approve "sure" { prompt = "Switch the DNS?" }
shell.run "cutover" { command = { "a" }, no_return = "partners write there" })lua";
  const Plan plan = real(asked).plan();
  CHECK(plan.steps[1].no_return == "partners write there");
  const Plan again = plan_from_text(text_of(plan), plan.digest, lang::with_words(step_table()));
  CHECK(again.steps[1].no_return == "partners write there");
  CHECK(
      real(asked + std::string("\nshell.run \"b\" { command = { \"b\" }, no_return = \"too\" }")).refusal() ==
      "test.lua:4: step \"b\": `no_return` is a point that nobody is asked about | write approve "
      "\"b-approved\" { prompt = \"...\" } above it");
  CHECK(
      real(R"lua(runbook "t" {}
approve "sure" { prompt = "?" }
probe.tcp "p" { port = 1, no_return = "none" })lua")
          .refusal() ==
      "test.lua:3: step \"p\": `no_return` stands at a step that changes nothing | give it to the step that "
      "changes it");
  const Plan watching = real("runbook \"t\" {}\nprobe.tcp \"p\" { port = 1, watch = \"20ms\" }").plan();
  CHECK(watching.steps[0].watch.count() == 20);
  CHECK(
      real(R"lua(runbook "t" {}
local a = shell.run "a" { command = { "a" } }
probe.tcp "p" { host = a.stdout, port = 1, watch = "20ms" })lua")
          .refusal() ==
      "test.lua:3: step \"p\": `watch` looks from before the first effect, but the step uses outputs of a | "
      "give a probe without outputs the `watch`");
  CHECK(
      real("runbook \"t\" {}\nprobe.tcp \"p\" { port = 1, watch = \"1ms\" }").refusal() ==
      "test.lua:2: step \"p\": `watch` is shorter than 10ms: the looks would be a load of their own | write "
      "\"20ms\"");
  CHECK(real("runbook \"t\" {}\nprobe.sql \"p\" { database = \"d\", sql = \"s\", watch = \"20ms\" }")
            .refusal()
            .find("`watch` is no field of probe.sql") != std::string::npos);
}
