// relight rehearse: whether a runbook would come back, asked before it has to.
#include <doctest/doctest.h>

#include <string>

#include "runner/sys/json_whole.h"
#include "runner/sys/tree.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

struct Rehearsed : Bench {
  Ran rehearse(const std::string& steps, std::vector<std::string> more = {},
               const std::string& head = "") const {
    write("book.lua", "runbook \"book\" { " + head + " }\n" + steps);
    std::vector<std::string> args = {"rehearse", file("book.lua")};
    args.insert(args.end(), more.begin(), more.end());
    return relight(args);
  }
};

const char* const probe =
    "probe.command \"works\" { command = { \"/bin/true\" }, proves = \"both\", after = { last } }\n";

}  // namespace

TEST_CASE("a runbook that comes back from everywhere says so, and touches nothing") {
  Rehearsed bench;
  const std::string steps =
      "local dir = \"" + bench.file("made") +
      "\"\nhost.directory \"folder\" { path = dir }\n"
      "local last = host.file \"page\" { into = dir .. \"/page\", content = \"hello\" }\n" +
      probe;
  const Ran ran = bench.rehearse(steps);
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(ran.out.find("it comes back from every one of them") != std::string::npos);
  CHECK_FALSE(sys::exists(bench.file("made")));
  CHECK_FALSE(sys::exists(bench.file("state")));
  CHECK(bench.rehearse(steps).out == ran.out);
  const Json json = Json::parse(bench.rehearse(steps, {"--json"}).out);
  CHECK(json["findings"].empty());
  CHECK(json["records"] > 6);
  CHECK(json["run_kills"] > json["records"]);
  CHECK(json["resume_kills"] == json["run_kills"]);
  CHECK(json["rollback_kills"] > 6);
  CHECK(json["failures"] == 3);
}

TEST_CASE("what would not come back is named with its step, the record and the mend") {
  Rehearsed bench;
  const auto finds = [&](const std::string& steps, const std::string& what, const std::string& head = "") {
    const Ran ran = bench.rehearse(steps, {}, head);
    const std::string out = flat(ran.out);
    INFO(out, ran.err);
    CHECK(ran.exit == 1);
    CHECK(out.find(what) != std::string::npos);
  };
  SUBCASE("a step that cannot be told done from not done") {
    finds("local last = shell.run \"mail\" { command = { \"/bin/true\" }, undo = { \"/bin/true\" } }\n" +
              std::string(probe),
          "mail: it is in doubt, and resume stops to ask: nothing tells whether it was done (killed after "
          "record");
  }
  SUBCASE("one that may be done twice, or that can be told, is no finding") {
    const Ran ran = bench.rehearse(
        "shell.run \"one\" { command = { \"/bin/true\" }, undo = { \"/bin/true\" }, in_doubt = \"again\" }\n"
        "local last = shell.run \"two\" { command = { \"/bin/true\" }, undo = { \"/bin/true\" }, check = { "
        "\"/bin/true\" } }\n" +
        std::string(probe));
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
  }
  SUBCASE("an undo that is missing before a step that can fail") {
    finds(
        "shell.run \"move\" { command = { \"/bin/true\" }, in_doubt = \"again\" }\n"
        "local last = shell.run \"check\" { command = { \"/bin/true\" }, in_doubt = \"again\", undo = { "
        "\"/bin/true\" } }\n" +
            std::string(probe),
        "move: it cannot be taken back: a rollback leaves it as it is");
  }
  SUBCASE("a rollback that no probe follows") {
    finds(
        "shell.run \"one\" { command = { \"/bin/true\" }, undo = { \"/bin/true\" }, in_doubt = \"again\" }\n",
        "no probe follows a rollback", "on_failure = \"rollback\"");
  }
}
