// A step from which there is no way back: asked about, shown, and never passed by a rollback.
#include <doctest/doctest.h>

#include "tests/support/program.h"

using namespace relight;

TEST_CASE("behind a point of no return nothing is undone, neither by itself nor by hand") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    sh("before", "echo before >> out")
    approve "sure" { prompt = "Switch?" }
    sh("cutover", "echo cutover >> out", { no_return = "partners write to the new host" })
    sh("after", "echo after >> out")
    sh("bad", "test -e mended")
  )",
                                       "on_failure = \"rollback\""),
                            {"--set", "dir=" + bench.path(), "--approve", "sure"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(ran.out.find("no way back: the step cutover was begun: partners write to the new host") !=
        std::string::npos);
  CHECK(bench.read("out") == "before\ncutover\nafter\n");
  const Ran refused = bench.relight({"rollback", "--yes"});
  CHECK(refused.exit == 2);
  CHECK(flat(refused.err).find("there is no way back from it: partners write to the new host") !=
        std::string::npos);
  CHECK(bench.read("out") == "before\ncutover\nafter\n");
  const Ran part = bench.relight({"rollback", "--to", "cutover", "--yes"});
  INFO(part.out, part.err);
  CHECK(part.exit == 0);
  CHECK(bench.read("out") == "before\ncutover\nafter\nundo bad\nundo after\n");
  bench.write("mended", "");
  CHECK(bench.relight({"resume"}).exit == 0);
}

TEST_CASE("before its point of no return a run that fails goes back") {
  Bench bench;
  const std::string text = shell_book(R"(
    sh("before", "echo before >> out")
    approve "sure" { prompt = "Switch?" }
    sh("bad", "false", { after = { "before" } })
    sh("cutover", "echo cutover >> out", { no_return = "partners write there" })
  )",
                                      "on_failure = \"rollback\"");
  const Ran ran = bench.run(text, {"--set", "dir=" + bench.path(), "--approve", "sure"});
  CHECK(ran.exit == 3);
  const Ran plan = bench.relight({"plan", bench.file("book.lua"), "--set", "dir=" + bench.path()});
  CHECK(plan.exit == 0);
  CHECK(plan.out.find("POINT OF NO RETURN: partners write there") != std::string::npos);
}
