#include "runner/lang/evaluation.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("a constructor without its name or its table") {
  CHECK(Runbook(R"lua(runbook "t" {}
host.packages "x")lua")
            .refusal() == "test.lua:2: host.packages \"x\" has no table | write host.packages \"x\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
host.packages { install = {} })lua")
            .refusal() ==
        "test.lua:2: host.packages needs a name before its table | write host.packages \"NAME\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
host.packages("x", { install = {} }))lua")
            .refusal() ==
        "test.lua:2: host.packages takes its name and its table one after the other | write host.packages "
        "\"NAME\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
shell.run "a" "b")lua")
            .refusal() ==
        "test.lua:2: shell.run \"a\" needs a table, but got a string | write shell.run \"a\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
host "x" {})lua")
            .refusal() == "test.lua:2: `host` is a family of step types | write host.TYPE \"NAME\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
compose "x" {})lua")
            .refusal() ==
        "test.lua:2: `compose` is a family of step types | write compose.TYPE \"NAME\" { ... }");
  CHECK(Runbook(R"lua(runbook "x")lua").refusal() ==
        "test.lua:1: runbook \"x\" has no table | write runbook \"x\" { ... }");
  CHECK(Runbook(R"lua(runbook { })lua").refusal() ==
        "test.lua:1: runbook needs a name before its table | write runbook \"NAME\" { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
runbook "again" {})lua")
            .refusal() == "test.lua:2: runbook is called twice; first at test.lua:1 | keep one of them");
  CHECK(Runbook(R"lua(shell.run "x" { command = { "a" } })lua").refusal() ==
        "test.lua:1: the runbook has no name | begin it with runbook \"NAME\" { }");
  CHECK(Runbook(R"lua(runbook "t" {}
approve { prompt = "x" })lua")
            .refusal() ==
        "test.lua:2: approve needs a name before its table | write approve \"NAME\" { ... }");
}

TEST_CASE("a name that is not there names the near one, and more than one fault is told") {
  CHECK(Runbook(R"lua(runbook "t" {}
hosts.packages "x" { install = {} })lua")
            .refusal() == "test.lua:2: nothing is named `hosts` | did you mean `host`?");
  CHECK(Runbook(R"lua(runbook "t" {}
host.pacages "x" { install = {} }
shell.run "y" { comand = { "/bin/true" } })lua")
            .refusal() ==
        "test.lua:2: there is no step type host.pacages | did you mean host.packages?\n"
        "test.lua:3: step \"y\": `comand` is no field of shell.run | did you mean `command`?");
  CHECK(Runbook(R"lua(runbook "t" {}
local db = postgres.recover "database" { base = "/b", data = "/d" }
shell.run "y" { command = { "/bin/echo", db.urll } })lua")
            .refusal() == "test.lua:3: the step \"database\" has no output `urll` | did you mean `url`?");
  CHECK(Runbook(R"lua(runbook "t" {}
local input = inputs { version = { default = "1" } }
local y = input.verison)lua")
            .refusal() == "test.lua:3: there is no input `verison` | did you mean `version`?");
}

TEST_CASE("inputs are declared once, and read through what inputs returns") {
  CHECK(Runbook(R"lua(runbook "t" {}
local y = inputs.x)lua")
            .refusal() ==
        "test.lua:2: `inputs.x` is not there: inputs { ... } returns the values | write `local input = "
        "inputs { ... }`, then input.x");
  CHECK(Runbook(R"lua(runbook "t" {}
local input = inputs { a = { optional = true } }
inputs {})lua")
            .refusal() ==
        "test.lua:3: inputs is called twice; first at test.lua:2 | declare them in one table");
  CHECK(Runbook(R"lua(runbook "t" {}
inputs "x")lua")
            .refusal() ==
        "test.lua:2: inputs needs a table | write local input = inputs { NAME = { doc = \"...\" } }");
  CHECK(Runbook(R"lua(runbook "t" {}
local input = inputs { x = { optional = true } }
input.x = 1)lua")
            .refusal() ==
        "test.lua:3: an input cannot be written to | keep what you make of it in a local of its own");
}

TEST_CASE("a secret is never written into a runbook") {
  CHECK(Runbook(R"lua(runbook "t" {}
secret "x")lua")
            .refusal() ==
        "test.lua:2: `secret` takes no text: a secret is never written into a runbook | write secret.env "
        "\"NAME\", secret.file \"PATH\" or secret.command { ... }");
  CHECK(Runbook(R"lua(runbook "t" {}
secret.file "x")lua")
            .refusal() == "test.lua:2: secret.file wants an absolute path | write secret.file \"/root/key\"");
  CHECK(Runbook(R"lua(runbook "t" {}
secret.env "a b")lua")
            .refusal() ==
        "test.lua:2: secret.env wants the name of a variable | write secret.env \"PGPASSWORD\"");
  CHECK(Runbook(R"lua(runbook "t" {}
secret.command "x")lua")
            .refusal() ==
        "test.lua:2: `secret.command` must be a list of texts, but is the text \"x\" | write secret.command "
        "{ \"/usr/bin/pass\", \"backup\" }");
  CHECK(Runbook(R"lua(runbook "t" {}
local s = secret.env "X"
local t = "a" .. s)lua")
            .refusal() ==
        "test.lua:3: a secret cannot be joined with a text | pass it as it is to a field that takes one (a "
        "secret field, env, or `secrets` of a script)");
  CHECK(Runbook(R"lua(runbook "t" {}
host.file "f" { into = "/x", text = secret.env "X" })lua")
            .refusal() ==
        "test.lua:2: step \"f\": `text` is a secret, and this field is shown in plans and logs | only fields "
        "of type secret, and env, take one");
  CHECK(Runbook(R"lua(runbook "t" {}
key.restore "f" { into = "/x", from = "hunter2" })lua")
            .refusal() ==
        "test.lua:2: step \"f\": `from` must be a secret, never the text itself | write secret.env \"NAME\", "
        "secret.file \"PATH\" or an input of type secret");
}

TEST_CASE(
    "a family whose values a field takes is called for one, and its parts are checked at the field's line") {
  const std::string head =
      "runbook \"t\" {}\nlocal app = compose{ file = \"/srv/compose.yml\", service = \"app\" }\n";
  const Plan plan = Runbook(head + "service.start \"app\" {\n  via = app }").plan();
  CHECK((*plan.steps[0].params)["via"] ==
        Json{{"compose", {{"file", "/srv/compose.yml"}, {"service", "app"}}}});
  const auto refusal = [](const std::string& via) {
    return Runbook("runbook \"t\" {}\nservice.start \"app\" {\n  via = " + via + " }").refusal();
  };
  CHECK(refusal("compose{ file = \"/srv/compose.yml\", servcie = \"app\" }") ==
        "test.lua:3: step \"app\": `via.service` is missing | write \"app\"\n"
        "test.lua:3: step \"app\": `via.servcie` is no field of this step | did you mean `service`?");
  CHECK(refusal("compose{ file = \"compose.yml\", service = \"app\" }") ==
        "test.lua:3: step \"app\": `via.file` must be an absolute path, but is the text \"compose.yml\" | "
        "begin it "
        "with \"/\"");
  CHECK(refusal("\"/srv/compose.yml\"").find("`via` must be made by compose, but is the text") !=
        std::string::npos);
  CHECK(refusal("{ file = \"/srv/compose.yml\" }").find("`via` must be made by compose, but is a table") !=
        std::string::npos);
  CHECK(refusal("host{ file = \"/x\" }").find("`host` is a family of step types") != std::string::npos);
}
