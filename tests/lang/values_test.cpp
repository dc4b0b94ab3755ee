#include "runner/lang/values.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("a step is no value, and a value not yet known can be passed and joined only") {
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
shell.run "y" { command = { "/bin/echo", "x" .. db } })lua")
            .refusal() ==
        "test.lua:3: the step \"database\" cannot be joined as a text | name the output that you mean: url, "
        "lsn");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local text = tostring(db))lua")
            .refusal() ==
        "test.lua:3: the step \"database\" cannot be turned into a text | name the output that you mean: "
        "url, lsn");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" } { })lua")
            .refusal() ==
        "test.lua:2: the step \"database\" cannot be called | name the output that you mean: url, lsn");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local text = tostring(db.url))lua")
            .refusal() ==
        "test.lua:3: the value <database.url> is not known yet and cannot be turned into a text | it can be "
        "passed and joined; what depends on it is a function: when = function(o) return o.database... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local text = string.format("%s", db.url))lua")
            .refusal() ==
        "test.lua:3: the value <database.url> is not known yet and cannot be turned into a text | it can be "
        "passed and joined; what depends on it is a function: when = function(o) return o.database... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local n = #db.url)lua")
            .refusal() ==
        "test.lua:3: the value <database.url> is not known yet and cannot be measured with # | it can be "
        "passed and joined; what depends on it is a function: when = function(o) return o.database... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local n = db.url < "x")lua")
            .refusal() ==
        "test.lua:3: the value <database.url> is not known yet and cannot be compared | it can be passed and "
        "joined; what depends on it is a function: when = function(o) return o.database... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local n = db.url + 1)lua")
            .refusal() ==
        "test.lua:3: the value <database.url> is not known yet and cannot be calculated with | it can be "
        "passed and joined; what depends on it is a function: when = function(o) return o.database... end");
  CHECK(
      Runbook(R"lua(runbook "t" {}
local db = postgres.recover "my-database" { base = "/b", data = "/d" }
local p = db.url.host)lua")
          .refusal() ==
      "test.lua:3: the value <my-database.url> is not known yet and cannot be looked into | it can be passed "
      "and joined; what depends on it is a function: when = function(o) return o[\"my-database\"]... end");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local a, b = db.url, db.lsn
local same = a == b)lua")
            .refusal() ==
        "test.lua:4: the value <database.url> is not known yet and cannot be compared | it can be passed and "
        "joined; what depends on it is a function: when = function(o) return o.database... end");
}

TEST_CASE("paths join with a slash") {
  CHECK(Runbook(R"lua(runbook "t" {}
local p = "a" / "/b")lua")
            .refusal() ==
        "test.lua:2: the path \"/b\" is absolute: it cannot be joined to \"a\" | take the first `/` of the "
        "right side away, or join texts with ..");
  CHECK(Runbook(R"lua(runbook "t" {}
local p = "a" / "")lua")
            .refusal() ==
        "test.lua:2: a path cannot be joined with the empty text | leave the `/` out, or write the name that "
        "is missing");
  CHECK(Runbook(R"lua(runbook "t" {}
local p = "" / "a")lua")
            .refusal() ==
        "test.lua:2: a path cannot be joined with the empty text | leave the `/` out, or write the name that "
        "is missing");
  CHECK(
      Runbook(R"lua(runbook "t" {}
local input = inputs { x = { optional = true } }
local p = input.x / "a")lua")
          .refusal() ==
      "test.lua:3: nil cannot be joined | an input that is not given is nil: ask `if input.NAME then` first");
  CHECK(Runbook(R"lua(runbook "t" {}
local p = "x" / {})lua")
            .refusal() == "test.lua:2: a table cannot be joined with a text");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
local p = db.url / "/x")lua")
            .refusal() ==
        "test.lua:3: the path \"/x\" is absolute: it cannot be joined to <database.url> | take the first `/` "
        "of the right side away, or join texts with ..");
}

TEST_CASE("values not yet known join with texts and paths") {
  const Plan plan = Runbook(R"lua(runbook "t" {}
local pin = release.pin "release" { product = "p", version = "1", from = "/f", into = "/i" }
local p = "/opt" / pin.version / "bin"
host.file "f" { into = p, text = "v" .. 5 .. ": " .. p .. "." .. pin.before }
host.file "g" { into = "/" / ("2024" / "01") / 5, text = pin.version })lua")
                        .plan();
  const auto output = [](const char* name) { return Json{{"$output", {"release", name}}}; };
  CHECK((*plan.find("f")->params)["into"] == Json{{"$join", {"/opt/", output("version"), "/bin"}}});
  CHECK((*plan.find("f")->params)["text"] ==
        Json{{"$join", {"v5: /opt/", output("version"), "/bin.", output("before")}}});
  CHECK((*plan.find("g")->params)["into"] == "/2024/01/5");
  CHECK((*plan.find("g")->params)["text"] == output("version"));
}
