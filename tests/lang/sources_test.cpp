#include "runner/lang/sources.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/support/runbook.h"

using namespace relight;

TEST_CASE("require finds modules beside the runbook and below it, once each, and they are frozen with it") {
  Runbook runbook(
      "runbook \"t\" {}\nlocal tools = require \"tools\"\nlocal again = require \"tools\"\n"
      "tools.step(\"a\")\nagain.step(\"b\")\n");
  runbook.with("tools.lua",
               "local net = require \"net.dns\"\nlocal count = 0\nreturn { step = function(name)\n"
               "  count = count + 1\n  return shell.run(name) { command = { net.program, tostring(count) } "
               "}\nend }\n");
  runbook.with("net/dns.lua", "return { program = \"/bin/true\" }");
  runbook.with("unused.lua", "this is no Lua");
  const lang::Evaluated evaluated = runbook.evaluate();
  REQUIRE(evaluated.plan.steps.size() == 2);
  CHECK(evaluated.plan.steps[0].file == "tools.lua");
  CHECK(evaluated.plan.steps[0].line == 5);
  REQUIRE(evaluated.sources.size() == 3);
  CHECK(evaluated.sources[0].name == "net/dns.lua");
  CHECK(evaluated.sources[1].name == "test.lua");
  CHECK(evaluated.sources[2].name == "tools.lua");
}

TEST_CASE("modules that cannot be required") {
  const auto refusal = [](const std::string& name, const std::string& module) {
    return Runbook("runbook \"t\" {}\nlocal m = require \"" + name + "\"").with("m.lua", module).refusal();
  };
  const std::string absent = refusal("absent", "");
  CHECK(
      absent.starts_with("test.lua:2: cannot require \"absent\": there is no absent.lua beside the runbook"));
  CHECK(absent.ends_with(" | only files beside the runbook, and the library that ships, can be required"));
  for (const char* name : {"../m", "/etc/m", "..m", "m.", "", "a//m"}) {
    CAPTURE(name);
    CHECK(refusal(name, "").starts_with(
        "test.lua:2: cannot require \"" + std::string(name) +
        "\": a module's name is letters, digits, - and _, with dots for folders"));
  }
  CHECK(refusal("m", "local x =") == "m.lua:1: unexpected symbol near <eof>");
  CHECK(refusal("m", "\nx = 1") == "m.lua:2: `x` would be a global | write `local x = ...`");
  CHECK(refusal("m", "local m = require \"m\"") ==
        "m.lua:1: the module \"m\" requires itself in the end; first at test.lua:2 | move what both need "
        "into a third module");
  CHECK(refusal("m", std::string("\033Lua\x54", 5)).find("it is compiled Lua | give its source") !=
        std::string::npos);
  CHECK(refusal("m", std::string("a\0b", 3)).find("it holds NUL bytes: it is no text") != std::string::npos);
}

TEST_CASE("a runbook that cannot be read") {
  Runbook runbook("runbook \"t\" {}");
  const std::string path = runbook.path();
  runbook.with("test.lua", std::string(5u << 20, '-'));
  CHECK(runbook.refusal() ==
        "cannot read the runbook: " + path +
            ": it is 5.2 MB, and at most 4 MiB are read | is it a runbook? data belongs into files that "
            "steps read");
  sys::remove_file(path);
  CHECK(runbook.refusal() ==
        "cannot read the runbook: " + path +
            ": there is no such file | a path is taken from the folder that relight is called in");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK(runbook.refusal() == "cannot read the runbook: " + path + ": it is not a plain file");
  sys::remove_file(path);
  sys::make_folders(path);
  CHECK(runbook.refusal() == "cannot read the runbook: " + path + ": it is a folder | name the file in it");
}

TEST_CASE("the library that ships is found from a program that was built in the tree") {
  const std::string folder = lang::library_folder();
  CHECK((folder.empty() || folder.ends_with("/runbooks/lib")));
}
