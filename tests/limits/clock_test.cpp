// A wall clock that is set back, between a run and its resume and while it runs. (The machine's own is left
// alone: relight is given another by a library that is loaded before it.)
#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/kill.h"
#include "tests/support/program.h"

using namespace relight;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

constexpr const char* day = "86400";

struct Clocked : Bench {
  Clocked() { under = {"/usr/bin/env", "LD_PRELOAD=" SHIFTED_CLOCK, "RELIGHT_TEST_CLOCK=" + file("clock")}; }
  void set(const std::string& seconds) const { write("clock", seconds); }
  std::vector<std::string> dir() const { return {"--set", "dir=" + path()}; }
};

const char* const in_flight = "touch flying; while [ ! -e go ]; do sleep 0.01; done; echo slow >> out";

}  // namespace

TEST_CASE("a clock that is set back between a run and its resume changes nothing but the times shown") {
  Clocked bench;
  bench.set(day);
  bench.write("book.lua", shell_book("sh(\"first\", \"echo first >> out\")\nsh(\"slow\", \"" +
                                         std::string(in_flight) + "\")\nsh(\"last\", \"echo last >> out\")",
                                     "budget = { rto = \"1h\" }"));
  const int pid = bench.start({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()});
  wait_for_file(bench.file("flying"));
  kill_and_wait(pid);
  bench.set("0");
  bench.write("go", "");
  const Ran ran = bench.relight({"resume"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "first\nslow\nlast\n");
  const std::string run = bench.status()["run"];
  const Json report = Json::parse(bench.relight({"report", "--format", "json"}).out);
  CHECK(report["verdict"]["rto_ms"].get<std::int64_t>() >= 0);
  CHECK(report["verdict"]["rto_ms"].get<std::int64_t>() < 3600000);

  // The run that was begun last is the latest, whatever the clock said.
  CHECK(bench.run(shell_book("sh(\"new\", \"echo new >> out\")"), bench.dir()).exit == 0);
  CHECK(bench.status()["run"] != run);
  CHECK(bench.state_of("new") == "done");
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(bench.read("out") == "first\nslow\nlast\nnew\nundo new\n");
}

TEST_CASE("a clock that is set back while a run goes on makes it no shorter") {
  Clocked bench;
  bench.set(day);
  const Ran ran = bench.run(shell_book("sh(\"back\", \"echo 0 > clock\")\n"
                                       "sh(\"timed\", \"sleep 0.2\", { timeout = \"1m\" })\n"
                                       "sh(\"last\", \"echo last >> out\")",
                                       "budget = { rto = \"1h\" }"),
                            bench.dir());
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "last\n");
  const Json report = Json::parse(bench.relight({"report", "--format", "json"}).out);
  CHECK(report["verdict"]["rto_ms"].get<std::int64_t>() >= 0);
  CHECK(report["verdict"]["rto_ms"].get<std::int64_t>() < 3600000);
  CHECK(bench.relight({"log"}).exit == 0);
}
#endif
