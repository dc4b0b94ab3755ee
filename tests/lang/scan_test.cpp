#include "runner/lang/scan.h"

#include <doctest/doctest.h>

#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("comparisons and truth tests of what is not known yet, which Lua cannot trap") {
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
if db.url == "x" then end
if db.url then end
local x = not db.lsn
local y = db.url or "z"
if db then end
local u = db.url .. "x"
if u ~= "x" then end)lua")
            .refusal() ==
        "test.lua:3: `db.url` is not known while the runbook is read, and cannot be compared | let the step "
        "that depends on it decide: when = function(o) return o.database.url == ... end\n"
        "test.lua:4: `db.url` is not known while the runbook is read, and cannot be tested | let the step "
        "that depends on it decide: when = function(o) return o.database.url end\n"
        "test.lua:5: `db.lsn` is not known while the runbook is read, and cannot be tested | let the step "
        "that depends on it decide: when = function(o) return o.database.lsn end\n"
        "test.lua:6: `db.url` is not known while the runbook is read, and cannot be tested | let the step "
        "that depends on it decide: when = function(o) return o.database.url end\n"
        "test.lua:7: `db` is a step: testing it tells nothing | name the output that you mean, in when = "
        "function(o) ... end\n"
        "test.lua:9: `u` is not known while the runbook is read, and cannot be compared | let the step that "
        "depends on it decide: when = function(o) return o.database.url == ... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db
if true then db = postgres.recover "my-database" { base = "/b", data = "/d" } end
if db then host.file "f" { into = "/x", text = db.url } end
if db.url then end)lua")
            .refusal() ==
        "test.lua:5: `db.url` is not known while the runbook is read, and cannot be tested | let the step "
        "that depends on it decide: when = function(o) return o[\"my-database\"].url end");
}

TEST_CASE("in a function that runs later outputs are known") {
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
script "s" { run = function(ctx) if db.url == "x" then ctx.log("same") end end }
shell.run "w" { command = { "a" }, when = function(o) return db.url ~= "x" end })lua")
            .refusal() == "");
}

TEST_CASE("a local that hides a family, or a word of the language") {
  CHECK(Runbook(R"lua(runbook "t" {}
local release = release.pin "r" { product = "p", version = "1", from = "/f", into = "/i" })lua")
            .refusal() ==
        "test.lua:2: a local named `release` hides the family release | give it another name: no step of "
        "release could be written below it");
  CHECK(Runbook(R"lua(runbook "t" {}
for key, value in pairs({ a = 1 }) do end)lua")
            .refusal() ==
        "test.lua:2: a local named `key` hides the family key | give it another name: no step of key could "
        "be written below it");
  CHECK(Runbook(R"lua(runbook "t" {}
local function f(host) end)lua")
            .refusal() ==
        "test.lua:2: a local named `host` hides the family host | give it another name: no step of host "
        "could be written below it");
  CHECK(Runbook(R"lua(runbook "t" {}
local input, secret = 1, 2)lua")
            .refusal() ==
        "test.lua:2: a local named `secret` hides a word of the language | give it another name");
}

TEST_CASE("globals are told wherever they stand, and other names are left alone") {
  CHECK(Runbook(R"lua(runbook "t" {}
x = 1)lua")
            .refusal() == "test.lua:2: `x` would be a global | write `local x = ...`");
  CHECK(Runbook(R"lua(runbook "t" {}
function go() end)lua")
            .refusal() == "test.lua:2: `go` would be a global | write `local function go`");
  CHECK(Runbook(R"lua(runbook "t" {}
script "s" { run = function(ctx) x = 1 return nope end })lua")
            .refusal() ==
        "test.lua:2: `x` would be a global | write `local x = ...`\n"
        "test.lua:2: nothing is named `nope` | a text stands in quotes; a name must be a local above this "
        "line");
  CHECK(Runbook(R"lua(runbook "t" {}
local install = {}
shell.run "a" { command = { "a" }, creates = instal })lua")
            .refusal() == "test.lua:3: nothing is named `instal` | did you mean `install`?");
  CHECK(Runbook(R"lua(runbook "t" {}
local t = { x = 1 }
function t.go(self) return self.x end
function t:stay() return self.x end
for i, v in ipairs({ 1 }) do local q = i + v end
goto done
::done::
repeat local z = 1 until z == 1
local a <const>, b = 1, 2
local r = a + b + #[[x = 1]] + t:go() + t["x"] --[==[ y = 1 ]==] + 0x1p4 + 3e-2
local function twice(n, ...) local more = { ... } return n * 2, more end
if r then r = twice(r) elseif a then r = 1 else r = "x\z
   y" end
while r == 0 do r = r // 2 >> 1 end
for n = 1, 2 do local m = n end)lua")
            .refusal() == "");
}

TEST_CASE("nil in a list, and a field named twice") {
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" { command = { "/bin/echo", "x", nil } })lua")
            .refusal() == "test.lua:2: nil in a list: Lua forgets it, and what follows it | leave it out");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "y" {
  command = { "/bin/echo" },
  ["command"] = { "x" },
})lua")
            .refusal() ==
        "test.lua:4: the field `command` stands twice in one table | Lua would keep one of them: take one "
        "away");
}
