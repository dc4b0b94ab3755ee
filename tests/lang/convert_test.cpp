#include "runner/lang/values.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("what cannot stand in a plan") {
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
shell.run "y" { command = { "/bin/echo", db } })lua")
            .refusal() ==
        "test.lua:3: step \"y\": `command[2]` is the step \"database\", not a value | name the output that "
        "you mean: url, lsn");
  CHECK(Runbook(R"lua(runbook "t" {}
local stop = service.stop "stop" { unit = "x" }
shell.run "y" { command = { "/bin/echo", stop } })lua")
            .refusal() ==
        "test.lua:3: step \"y\": `command[2]` is the step \"stop\", which has no outputs | to wait for it, "
        "write after = { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
local input = inputs { x = { optional = true } }
shell.run "y" { command = { "/bin/echo", input.x, "x" } })lua")
            .refusal() ==
        "test.lua:3: step \"y\": `command` has nil at place 2 of 3 | an input that is not given is nil: "
        "build the list with `if input.NAME then`");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = { command = { "/bin/true" } }
t.env = t
shell.run "y" (t))lua")
            .refusal() == "test.lua:4: step \"y\": `env.env` is a table that holds itself");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = {}
for i = 1, 40 do t = { t } end
probe.http "y" { url = "x", expect = t })lua")
            .refusal() == "test.lua:4: step \"y\": `expect` is nested more than 32 tables deep");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = {}
for i = 1, 20 do t = { t, t } end
probe.http "y" { url = "x", expect = t })lua")
            .refusal() ==
        "test.lua:4: step \"y\": `expect` holds more than 100000 values | put them into a file, and name the "
        "file");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "\xff" } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `command[1]` holds bytes that are not UTF-8 | save the runbook as UTF-8, or "
        "put the bytes into a file");
  CHECK(
      Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "a\0b" } })lua")
          .refusal() ==
      "test.lua:2: step \"y\": `command[1]` holds a NUL byte | put the bytes into a file, and name the file");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "a" }, env = { ["$x"] = "1" } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `env.$x` begins with \"$\", which the plan keeps for itself | choose "
        "another name");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.http "y" { url = "x", expect = { status = 1/0 } })lua")
            .refusal() == "test.lua:2: step \"y\": `expect.status` is an endless number (1/0)");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.http "y" { url = "x", expect = { status = 0/0 } })lua")
            .refusal() == "test.lua:2: step \"y\": `expect.status` is not a number (0/0)");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.http "y" { url = "x", expect = { f = function() end } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `expect.f` is a function, which cannot stand here | only when, and the "
        "fields of a script, take a function; was a call left out: f()?");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.http "y" { url = "x", expect = { 1, a = 2 } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `expect` is a list and a table of names at once | was a name left out, or a "
        "comma set wrong?");
  CHECK(Runbook(R"lua(runbook "t" {}
probe.http "y" { url = "x", expect = { [1.5] = 2 } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `expect` has a key that is neither a name nor a place in a list | write "
        "[\"NAME\"] = VALUE");
}

TEST_CASE("a table that two steps share is copied for each, as it is then") {
  const Plan plan = Runbook(R"lua(runbook "t" {}
local env = { A = "1" }
shell.run "a" { command = { "a" }, env = env }
env.A = "2"
shell.run "b" { command = { "b" }, env = env }
probe.http "c" { url = "c", expect = { one = env, two = env, none = {}, half = 10 / 2, third = 0.5, no = false } })lua")
                        .plan();
  CHECK((*plan.find("a")->params)["env"]["A"] == "1");
  CHECK((*plan.find("b")->params)["env"]["A"] == "2");
  CHECK((*plan.find("c")->params)["expect"].dump() ==
        R"({"half":5,"no":false,"none":{},"one":{"A":"2"},"third":0.5,"two":{"A":"2"}})");
}
