#include "runner/lang/inputs.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("declarations are checked") {
  CHECK(
      Runbook(R"lua(runbook "t" {}
local input = inputs { a = 5, b = { type = "strin" }, c = { default = {} }, d = { type = "choice" }, e = { choices = { "x" } }, f = { docs = "x" }, g = { type = "int", default = "x" }, h = { type = "location", default = "https://x/y" }, i = { type = "secret", default = "hunter2" }, j = { type = "time", default = "2026-01-01T00:00:00" } })lua")
          .refusal() ==
      "test.lua:2: input \"a\" must be declared as a table | write a = { doc = \"...\" }\n"
      "test.lua:2: input \"b\" `type` must be one of string, int, bool, path, location, time, moment, "
      "duration, size, secret, choice, but is the text \"strin\" | did you mean \"string\"?\n"
      "test.lua:2: input \"c\" has a table as its default | write a text, a number, true or false\n"
      "test.lua:2: input \"d\" is a choice without choices | write choices = { \"...\", \"...\" }\n"
      "test.lua:2: input \"e\" has choices, but is none | write type = \"choice\"\n"
      "test.lua:2: input \"f\" has no field `docs` | did you mean `doc`?\n"
      "test.lua:2: input \"g\" must be a whole number, but is the text \"x\"\n"
      "test.lua:2: input \"h\" must be a folder or file of this host, or a file:// URL, but is the text "
      "\"https://x/y\" | copy it to this host first\n"
      "test.lua:2: input \"i\" must be a reference to a secret, never the secret itself | give a reference: "
      "env:NAME, file:PATH or command:PROGRAM ARGS, so that the secret itself is in no shell history\n"
      "test.lua:2: input \"j\" must be a time, but is the text \"2026-01-01T00:00:00\" | write it with its "
      "offset, as \"2026-11-21T10:26:00Z\" or \"...+01:00\"");
}

TEST_CASE("every missing input is told, with what to type") {
  CHECK(
      Runbook(R"lua(runbook "t" {}
local input = inputs {
  version = { doc = "the version", example = "1.4.2" },
  backup = { doc = "the folder", type = "location", example = "/srv/b" }, 
  key = { type = "secret" },
  mode = { type = "choice", choices = { "wal", "dump" } },
})lua")
          .refusal() ==
      "test.lua:3: input \"version\" is missing: the version | give it with --set version=1.4.2\n"
      "test.lua:4: input \"backup\" is missing: the folder | give it with --set backup=/srv/b\n"
      "test.lua:5: input \"key\" is missing | give it with --set key=env:NAME, file:PATH or command:PROGRAM\n"
      "test.lua:6: input \"mode\" is missing | give it with --set mode=wal or dump");
}

namespace {
const char* const typed = R"lua(runbook "t" {}
local input = inputs {
  text = { optional = true },
  number = { type = "int", optional = true },
  truth = { type = "bool", optional = true },
  path = { type = "path", optional = true },
  place = { type = "location", optional = true },
  at = { type = "time", optional = true },
  to = { type = "moment", default = "latest" },
  wait = { type = "duration", optional = true },
  room = { type = "size", optional = true },
  key = { type = "secret", optional = true },
  mode = { type = "choice", choices = { "wal", "dump" }, default = "wal" },
})lua";

std::string refusal(const std::string& input, const std::string& text) {
  return Runbook(typed).set(input, text).refusal();
}
}  // namespace

TEST_CASE("what --set gives is text, and becomes what its input is") {
  Runbook runbook(typed);
  runbook.set("text", "5")
      .set("number", "-5")
      .set("truth", "true")
      .set("path", "some/./file")
      .set("place", "file:///srv/b");
  runbook.set("at", "2026-11-21T10:26:00Z").set("wait", "5m").set("room", "2GiB").set("mode", "dump");
  const Json inputs = *runbook.plan().inputs;
  CHECK(inputs["text"] == "5");
  CHECK(inputs["number"] == -5);
  CHECK(inputs["truth"] == true);
  CHECK(inputs["path"] == sys::absolute("some/file"));
  CHECK(inputs["place"] == "file:///srv/b");
  CHECK(inputs["to"] == "latest");
  CHECK(inputs["mode"] == "dump");
  CHECK_FALSE(inputs.contains("key"));

  CHECK(refusal("number", "5x") ==
        "test.lua:4: input \"number\" must be a whole number, but is the text \"5x\"");
  CHECK(refusal("truth", "yes") ==
        "test.lua:5: input \"truth\" must be true or false, but is the text \"yes\"");
  CHECK(refusal("at", "2026-11-21T10:26:00") ==
        "test.lua:8: input \"at\" must be a time, but is the text \"2026-11-21T10:26:00\" | write it with "
        "its offset, as "
        "\"2026-11-21T10:26:00Z\" or \"...+01:00\"");
  CHECK(refusal("place", "s3://bucket/x") ==
        "test.lua:7: input \"place\" must be a folder or file of this host, or a file:// URL, but is the "
        "text \"s3://bucket/x\" "
        "| copy it to this host first");
  CHECK(refusal("path", "") == "test.lua:6: input \"path\" is empty | give a path");
  CHECK(refusal("mode", "dumb") ==
        "test.lua:13: input \"mode\" must be one of wal, dump, but is the text \"dumb\" | did you mean "
        "\"dump\"?");
  CHECK(refusal("text", "\xff") == "test.lua:3: input \"text\" is not text in UTF-8 | give it in UTF-8");
  CHECK(refusal("key", "file:/k\xff") ==
        "test.lua:12: input \"key\" is not text in UTF-8 | give it in UTF-8");
  CHECK(refusal("numbr", "5") == "test.lua:2: there is no input \"numbr\" | did you mean \"number\"?");
  CHECK(Runbook("runbook \"t\" {}").set("x", "5").refusal() ==
        "test.lua:1: there is no input \"x\" | the runbook takes no inputs");
}

TEST_CASE("--inputs gives JSON, --set goes over it, and what was given can be given again") {
  Runbook runbook(typed);
  runbook.inputs(
      R"({"number": 5, "truth": false, "path": "rel", "text": "a", "key": {"command": ["/bin/pass", "my key"]}})");
  runbook.set("text", "b");
  const lang::Evaluated evaluated = runbook.evaluate();
  const Json inputs = *evaluated.plan.inputs;
  CHECK(inputs["number"] == 5);
  CHECK(inputs["truth"] == false);
  CHECK(inputs["text"] == "b");
  CHECK(inputs["key"] == Json::parse(R"({"$secret": {"command": ["/bin/pass", "my key"]}})"));
  CHECK_FALSE(evaluated.given->contains("mode"));

  Runbook again(typed);
  again.inputs(evaluated.given->dump());
  CHECK(again.plan().digest == evaluated.plan.digest);
  CHECK(Runbook(typed).inputs(R"({"number": "five"})").refusal() ==
        "test.lua:4: input \"number\" must be a whole number, but is the text \"five\"");
}

TEST_CASE("a secret's reference in an inputs file is whole, or refused") {
  const auto refused = [](const std::string& reference) {
    return Runbook(typed)
        .inputs("{\"key\": " + reference + "}")
        .refusal()
        .starts_with("test.lua:12: input \"key\" must be a reference to a secret");
  };
  for (const char* reference : {R"({"env": "KEY"})", R"({"file": "/k"})", R"({"command": ["/bin/pass"]})"}) {
    CHECK_FALSE(refused(reference));
    CHECK_FALSE(refused("{\"$secret\": " + std::string(reference) + "}"));
  }
  for (const char* reference :
       {R"({"keyring": "x"})", R"({"file": 5})", R"({"env": "A B"})", R"({"command": []})",
        R"({"command": [5]})", R"({"command": "x"})", R"({"ask": "other"})", "{}", "[]", "5"}) {
    CHECK(refused(reference));
    CHECK(refused("{\"$secret\": " + std::string(reference) + "}"));
  }
}

TEST_CASE("an inputs file that is no object, or nested without an end, is refused") {
  const auto refused = [](const std::string& text) {
    try {
      lang::parse_inputs(text, "in.json");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refused("[1]") == "cannot read the inputs: in.json: it is not a JSON object");
  CHECK(refused("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}").empty());
  const std::size_t deep = 3'000'000;
  CHECK(refused("{\"a\":" + std::string(deep, '[') + std::string(deep, ']') + "}") ==
        "cannot read the inputs: in.json: it is not a JSON object");
}

TEST_CASE("a secret is a reference: a literal is refused, and never repeated") {
  const auto value = [](const std::string& text) {
    return (*Runbook(typed).set("key", text).plan().inputs)["key"]["$secret"].dump();
  };
  CHECK(value("env:NAME") == R"({"env":"NAME"})");
  CHECK(value("file:/root/key") == R"({"file":"/root/key"})");
  CHECK(value("file:key") == R"({"file":")" + sys::absolute("key") + R"("})");
  CHECK(value("command:/usr/bin/pass show backup") == R"({"command":["/usr/bin/pass","show","backup"]})");
  const std::string refused =
      "test.lua:12: input \"key\" must be a reference to a secret, never the secret itself | give a "
      "reference: env:NAME, file:PATH "
      "or command:PROGRAM ARGS, so that the secret itself is in no shell history";
  for (const char* text : {"hunter2", "env:", "env:hunter 2", "literal:hunter2", "command:", "", "ask"}) {
    CAPTURE(text);
    CHECK(refusal("key", text) == refused);
  }
  CHECK(Runbook(typed).inputs(R"({"key": ["hunter2"]})").refusal() == refused);

  Runbook asking("runbook \"t\" {}\nlocal input = inputs { key = { type = \"secret\" } }");
  asking.given.can_ask = true;
  CHECK((*asking.plan().inputs)["key"] == Json::parse(R"({"$secret": {"ask": "key"}})"));
}
