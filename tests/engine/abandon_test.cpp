// Who owns a target: one run at a time, until it is done, taken back or given up; and what a run keeps.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

struct Owned : Bench {
  // A run that puts `content` into the one file, and ends there or fails behind it.
  Ran put(const std::string& content, bool fails = false) const {
    std::string text = R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
host.file "unit" { into = input.dir / "unit", content = ")" +
                       content + "\" }\n";
    if (fails) text += "shell.run \"bad\" { command = { \"/bin/false\" }, undo = { \"/bin/true\" } }\n";
    return run(text, {"--set", "dir=" + path()});
  }
  std::string latest() const { return status()["run"]; }
};

}  // namespace

TEST_CASE("an unfinished run owns its targets") {
  Owned first, second;
  first.write("unit", "old");
  REQUIRE(first.put("new", true).exit == 1);
  const std::string run = first.latest();
  // The other one's state folder is another, its path is the same.
  const std::string book = first.read("book.lua");
  const std::vector<std::string> at = {"--set", "dir=" + first.path()};

  SUBCASE("run, plan and their JSON say whose it is, and what to type") {
    const Ran ran = second.run(book, at);
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 5);
    CHECK(flat(ran.out).find("path:" + first.file("unit") + ": run " + run + " of root owns it") !=
          std::string::npos);
    for (const char* command : {"resume", "rollback", "abandon"})
      CHECK(ran.out.find("`relight --state " + first.file("state") + " " + command + " " + run + "`") !=
            std::string::npos);
    CHECK(ran.err == "relight: nothing was started: another run owns a target\n");
    CHECK_FALSE(sys::exists(second.file("state")));
    CHECK(first.read("unit") == "new");
    CHECK(second.relight({"plan", second.file("book.lua"), at[0], at[1]}).exit == 5);
  }
  SUBCASE("abandon gives it up") {
    const Ran elsewhere = second.relight({"abandon", run});
    CHECK(elsewhere.exit == 2);
    CHECK(elsewhere.err.find("`relight --state " + first.file("state") + " abandon " + run + "`") !=
          std::string::npos);
    const Ran ran = first.relight({"abandon", run});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
    CHECK(first.run_state() == "abandoned");
    CHECK(first.read("unit") == "new");
    CHECK(second.run(book, at).exit == 1);
    CHECK(first.relight({"resume", run}).exit == 2);
    CHECK(first.relight({"rollback", run, "--yes"}).exit == 2);
  }
  SUBCASE("so does a rollback") {
    CHECK(first.relight({"rollback", "--yes"}).exit == 0);
    CHECK(first.read("unit") == "old");
    CHECK(second.run(book, at).exit == 1);
    CHECK(first.read("unit") == "new");
  }
  SUBCASE("so can a run whose folder was removed be given up") {
    sys::remove_tree(first.file("state"));
    const Ran ran = second.run(book, at);
    CHECK(ran.exit == 5);
    CHECK(flat(ran.out).find("that run's folder is gone, so it can only be given up") != std::string::npos);
    CHECK(second.relight({"abandon", run}).exit == 0);
    CHECK(second.run(book, at).exit == 1);
  }
  SUBCASE("a mended path frees the one that was wrong") {
    first.write("mended.lua", R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
host.file "unit" { into = input.dir / "unit", content = "new" }
)");
    CHECK(first.relight({"rollback", "--to", "unit", "--yes"}).exit == 0);
    const Ran ran = first.relight({"resume", "--amend", first.file("mended.lua")});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
    CHECK(second.run(book, at).exit == 1);
  }
}

TEST_CASE("a run whose target a later one has changed is not taken back before it") {
  Owned bench;
  bench.write("unit", "old");
  REQUIRE(bench.put("one").exit == 0);
  const std::string one = bench.latest();
  REQUIRE(bench.put("two").exit == 0);
  const std::string two = bench.latest();
  REQUIRE(one != two);
  const Ran refused = bench.relight({"rollback", one, "--yes"});
  INFO(refused.out, refused.err);
  CHECK(refused.exit == 2);
  CHECK(flat(refused.err).find("run " + two + " of root has changed path:" + bench.file("unit") + " since") !=
        std::string::npos);
  CHECK(refused.err.find("`relight --state " + bench.file("state") + " rollback " + two + "`") !=
        std::string::npos);
  CHECK(bench.read("unit") == "two");
  CHECK(bench.relight({"rollback", two, "--yes"}).exit == 0);
  CHECK(bench.read("unit") == "one");
  CHECK(bench.relight({"rollback", one, "--yes"}).exit == 0);
  CHECK(bench.read("unit") == "old");
}

TEST_CASE("what a run keeps is listed, and freed on demand") {
  Owned bench;
  bench.write("unit", std::string(5000, 'o'));
  CHECK(bench.relight({"keep"}).out == "nothing is kept\n");
  REQUIRE(bench.put("new").exit == 0);
  const std::string run = bench.latest();
  const Ran kept = bench.relight({"keep"});
  INFO(kept.out, kept.err);
  CHECK(kept.exit == 0);
  CHECK(kept.out.find("run " + run + " of book, done\n") != std::string::npos);
  CHECK(kept.out.find("  unit") != std::string::npos);
  CHECK(kept.out.find("keep --drop " + run + "\n") != std::string::npos);
  CHECK(bench.relight({"keep", "--drop", run}).exit == 2);  // nobody to ask
  CHECK(bench.relight({"keep"}).out.find("keep --drop " + run + "\n") != std::string::npos);
  const Ran dropped = bench.relight({"keep", "--drop", run, "--yes"});
  INFO(dropped.out, dropped.err);
  CHECK(dropped.exit == 0);
  CHECK(bench.relight({"keep"}).out == "nothing is kept\n");
  CHECK(bench.read("unit") == "new");
  int files = 0;
  sys::walk(bench.path(),
            [&](const sys::Entry& entry) { files += entry.path.find('/') == std::string::npos; });
  CHECK(files == 3);  // book.lua, state, unit: nothing beside them
  CHECK(bench.relight({"keep", "--drop", run, "--yes"}).exit == 0);  // nothing left to do
  const Ran back = bench.relight({"rollback", run, "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 2);
  CHECK(flat(back.err).find("what the step unit kept of the time before was freed by `keep --drop`") !=
        std::string::npos);
  CHECK(bench.read("unit") == "new");
  CHECK(bench.run_state() == "done");
}

TEST_CASE("what an unfinished run keeps is not freed") {
  Owned bench;
  bench.write("unit", "old");
  REQUIRE(bench.put("new", true).exit == 1);
  const Ran refused = bench.relight({"keep", "--drop", bench.latest(), "--yes"});
  CHECK(refused.exit == 2);
  CHECK(flat(refused.err).find("the run is failed") != std::string::npos);
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(bench.read("unit") == "old");
  CHECK(bench.relight({"keep"}).out == "nothing is kept\n");
}
