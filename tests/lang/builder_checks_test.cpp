#include "runner/lang/builder.h"

#include <doctest/doctest.h>

#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("a step waits for steps above only, so that there is no circle") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/true" }, after = { "z", "yy" } }
shell.run "z" { command = { "/bin/true" }, after = { "y" } })lua")
            .refusal() ==
        "test.lua:2: step \"y\": `after` names the step \"z\", which stands below it, at test.lua:3 | a step "
        "waits for steps above it only, so that no two wait for each other: move one of them\n"
        "test.lua:2: step \"y\": `after` names the step \"yy\", which is not there | did you mean \"y\"?");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "x" { command = { "a" }, after = { "x" } })lua")
            .refusal() == "test.lua:2: step \"x\": waits for itself | take it out of `after`");
}

TEST_CASE("the outputs of a step that may be skipped need a default") {
  CHECK(Runbook(R"lua(runbook "t" {}
local a = shell.run "a" { command = { "a" }, when = function(o) return true end }
shell.run "b" { command = { a.stdout } }
shell.run "c" { command = { "c" }, when = function(o) return o.a.exit == 0 end })lua")
            .refusal() ==
        "test.lua:3: step \"b\": uses a.stdout, but the step \"a\" may be skipped (its `when`) | give that "
        "step defaults = { stdout = ... }\n"
        "test.lua:4: step \"c\": `when` asks a.exit, but the step \"a\" may be skipped (its `when`) | give "
        "that step defaults = { exit = ... }");
}

TEST_CASE("what a when function asks is checked before anything runs") {
  CHECK(Runbook(R"lua(runbook "t" {}
local rel = release.pin "release" { product = "p", version = "1", from = "/f", into = "/i" }
shell.run "a" { command = { "a" }, when = function(o) return o.release.chnged end }
shell.run "b" { command = { "a" }, when = function(o) return o.relase.changed end }
shell.run "c" { command = { "a" }, after = {}, when = function(o) return o["release"].changed end })lua")
            .refusal() ==
        "test.lua:3: step \"a\": the step \"release\" has no output `chnged` | did you mean `changed`?\n"
        "test.lua:4: step \"b\": `when` asks the step \"relase\", which is not there | did you mean "
        "o.release?\n"
        "test.lua:5: step \"c\": `when` asks the step \"release\", but does not wait for it | add it to "
        "`after`");
}

TEST_CASE("the runbook's own fields") {
  CHECK(
      Runbook(R"lua(runbook "x y" { budget = { rto = 5, rpx = "1m" }, on_failure = "halt", docs = "x" })lua")
          .refusal() ==
      "test.lua:1: the runbook's name \"x y\" may hold letters, digits, - _ and . only | write a short name, "
      "as \"aihummer-rebuild\"\n"
      "test.lua:1: runbook: `on_failure` must be one of stop, rollback, continue, but is the text \"halt\" | "
      "write it as in \"rollback\"\n"
      "test.lua:1: runbook: `docs` is not there | did you mean `doc`?\n"
      "test.lua:1: runbook: `budget.rto` must be a duration, but is the number 5 | write \"5s\"\n"
      "test.lua:1: runbook: `budget.rpx` is not there | did you mean `rpo`?");
}
