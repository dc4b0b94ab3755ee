#include "runner/lang/library.h"

#include <doctest/doctest.h>

#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("the names of Lua that are not there, and why") {
  CHECK(Runbook(R"lua(runbook "t" {}
print("x"))lua")
            .refusal() ==
        "test.lua:2: `print` is not there | a runbook only describes its steps: use `doc`, or ctx.log in a "
        "script step");
  CHECK(Runbook(R"lua(runbook "t" {}
local x = os.time())lua")
            .refusal() ==
        "test.lua:2: `os` is not there | loading a runbook touches nothing: programs are for steps "
        "(shell.run, script), times are inputs");
  CHECK(Runbook(R"lua(runbook "t" {}
local y = math.random())lua")
            .refusal() ==
        "test.lua:2: `math.random` is not there | a runbook gives the same plan each time it is read");
  CHECK(Runbook(R"lua(runbook "t" {}
local y = string.dump)lua")
            .refusal() ==
        "test.lua:2: `string.dump` is not there | a runbook gives the same plan each time it is read");
  CHECK(Runbook(R"lua(runbook "t" {}
setmetatable({}, {}))lua")
            .refusal() == "test.lua:2: `setmetatable` is not there | tables of a runbook have no metatables");
  CHECK(Runbook(R"lua(runbook "t" {}
for k in next, {} do end)lua")
            .refusal() == "test.lua:2: `next` is not there | use pairs, which goes in the order of the keys");
  CHECK(Runbook(R"lua(runbook "t" {}
string.x = 1)lua")
            .refusal() == "test.lua:2: `string` cannot be written to | keep it in a local of its own");
  CHECK(Runbook(R"lua(runbook "t" {}
host.x = 1)lua")
            .refusal() == "test.lua:2: `host` cannot be written to | keep it in a local of its own");
}

TEST_CASE("nothing tells an address, an order or a clock") {
  CHECK(
      Runbook(R"lua(runbook "t" {}
error(tostring({}) .. "x"))lua")
          .refusal() ==
      "test.lua:2: tostring of a table: it has no text | name the field that you mean, or use table.concat");
  CHECK(Runbook(R"lua(runbook "t" {}
local x = string.format("%5p", {}))lua")
            .refusal() == "test.lua:2: string.format with %p: an address differs each time");
  CHECK(Runbook(R"lua(runbook "t" {}
local x = string.format("%s", {}))lua")
            .refusal() ==
        "test.lua:2: string.format of a table: it has no text | name the field that you mean, or use "
        "table.concat");
  CHECK(Runbook(R"lua(runbook "t" {}
local text = ""
for k in pairs({ z = 1, a = 2, [3] = 1, [1] = 2, [2.5] = 0, [true] = 1, [false] = 0 }) do text = text .. tostring(k) .. " " end
error(text))lua")
            .refusal() == "test.lua:4: 1 2.5 3 a z false true ");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = { 5, 3, 9, 1, 1, 7, 2 }
table.sort(t)
table.sort(t, function(a, b) return a > b end)
error(table.concat(t, ",")))lua")
            .refusal() == "test.lua:5: 9,7,5,3,2,1,1");
  CHECK(Runbook(R"lua(runbook "t" {}
pairs(5))lua")
            .refusal() == "test.lua:2: pairs wants a table, but got a number");
  CHECK(Runbook(R"lua(runbook "t" {}
for k in pairs({ [{}] = 1 }) do end)lua")
            .refusal() ==
        "test.lua:2: pairs over a table with a table as a key has no order | use texts or numbers as keys");
}
