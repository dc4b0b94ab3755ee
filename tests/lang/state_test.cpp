#include "runner/lang/state.h"

#include <doctest/doctest.h>

#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("errors of Lua itself come with their line") {
  CHECK(Runbook(R"lua(runbook "t" {}
local x = {)lua")
            .refusal() == "test.lua:2: unexpected symbol near <eof>");
  CHECK(Runbook(R"lua(runbook "t" {}
error("my own"))lua")
            .refusal() == "test.lua:2: my own");
  CHECK(Runbook(R"lua(runbook "t" {}
error({}))lua")
            .refusal() == "test.lua:2: error() was called with a table, not a text");
  CHECK(Runbook(R"lua(runbook "t" {}
assert(false, "no such thing"))lua")
            .refusal() == "test.lua:2: no such thing");
  CHECK(Runbook(R"lua(runbook "t" {}
local x = nil .. "a")lua")
            .refusal() == "test.lua:2: attempt to concatenate a nil value");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = { 1 }
local function f(n) return t[n].x end
f(2))lua")
            .refusal() == "test.lua:3: attempt to index a nil value (field '?')");
  CHECK(Runbook(R"lua(runbook "t" {}
local function f() return f() + 1 end)lua")
            .refusal() == "");
  CHECK(Runbook(R"lua(runbook "t" {}
local f
f = function() return f() + 1 end
f())lua")
            .refusal() == "test.lua:3: stack overflow");
}
