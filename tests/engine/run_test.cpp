// Runs of the whole program: order, failure, retry, timeouts, approvals, skips.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/program.h"

using namespace relight;

namespace {
std::vector<std::string> dir(const Bench& bench, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--set", "dir=" + bench.path()});
  return more;
}
}  // namespace

TEST_CASE("steps run in order, and outputs travel") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    local first = sh("first", "echo first >> out; echo hello")
    sh("second", "echo second >> out", { env = { WORD = first.stdout } })
    shell.run "third" { command = { "/bin/sh", "-c", "echo $WORD >> out" }, cwd = input.dir, env = { WORD = "got " .. first.stdout } }
  )"),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "first\nsecond\ngot hello\n");
  CHECK(bench.run_state() == "done");
  const Json status = bench.status();
  CHECK(status["steps"][0]["outputs"]["stdout"] == "hello");
  CHECK(status["protected"].is_null());
  for (const std::string& told : {ran.out, bench.relight({"report"}).out}) {
    CHECK(told.find("RTO ") != std::string::npos);
    CHECK(told.find("RPO") == std::string::npos);  // no database, no budget for it
  }
}

TEST_CASE("steps that do not wait for each other run at the same time") {
  Bench bench;
  // Each waits for the other's file: one after the other they would never end.
  const Ran ran = bench.run(shell_book(R"(
    sh("a", "touch a; while [ ! -e b ]; do sleep 0.01; done", { after = {}, timeout = "30s" })
    sh("b", "touch b; while [ ! -e a ]; do sleep 0.01; done", { after = {}, timeout = "30s" })
  )"),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
}

TEST_CASE("a failed step stops the run, its siblings end first, and a resume goes on") {
  Bench bench;
  const std::string text = shell_book(R"(
    sh("one", "echo one >> out")
    sh("bad", "touch tried; test -e mended", { after = { "one" } })
    sh("beside", "while [ ! -e tried ]; do sleep 0.01; done; sleep 0.1; echo beside >> out", { after = { "one" } })
    sh("last", "echo last >> out", { after = { "bad", "beside" } })
  )");
  const Ran ran = bench.run(text, dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(bench.read("out") == "one\nbeside\n");
  CHECK(bench.run_state() == "failed");
  CHECK(bench.state_of("bad") == "failed");
  CHECK(bench.state_of("last") == "pending");
  CHECK(ran.out.find("relight rollback") != std::string::npos);
  bench.write("mended", "");
  CHECK(bench.relight({"resume"}).exit == 0);
  CHECK(bench.read("out") == "one\nbeside\nlast\n");
  CHECK(bench.relight({"resume"}).exit == 2);
}

TEST_CASE("a rollback undoes what was done, the last first") {
  Bench bench;
  const std::string steps = R"(
    sh("one", "echo one >> out")
    sh("two", "echo two >> out")
    sh("bad", "false")
  )";
  SUBCASE("by hand") {
    CHECK(bench.run(shell_book(steps), dir(bench)).exit == 1);
    CHECK(bench.relight({"rollback"}).exit == 2);  // nobody to ask
    const Ran back = bench.relight({"rollback", "--yes"});
    INFO(back.out, back.err);
    CHECK(back.exit == 0);
  }
  SUBCASE("by itself") {
    const Ran ran = bench.run(shell_book(steps, "on_failure = \"rollback\""), dir(bench));
    CHECK(ran.exit == 3);
    CHECK(ran.out.find("\nstep bad failed: ") != std::string::npos);
  }
  CHECK(bench.read("out") == "one\ntwo\nundo bad\nundo two\nundo one\n");
  CHECK(bench.run_state() == "rolled-back");
}

TEST_CASE("what was well before the first effect must be so after a rollback; what was not is not asked") {
  Bench bench;
  bench.write("up", "");
  const auto book = [](const std::string& undo) {
    return shell_book(R"(
    local function asked(name, file, more)
      local fields = { command = { "/bin/sh", "-c", "echo " .. name .. " >> asked; test -e " .. file },
                       cwd = input.dir, proves = "both" }
      for field, value in pairs(more or {}) do fields[field] = value end
      probe.command(name)(fields)
    end
    asked("well", "up")
    sh("change", "rm up; touch changed", { cwd = input.dir, undo = { "/bin/sh", "-c",
       "cd '" .. input.dir .. "'; rm -f changed; )" +
                          undo + R"(" } })
    asked("changed", "changed", { within = "1h" })
    sh("bad", "false")
  )",
                      "on_failure = \"rollback\"");
  };
  SUBCASE("it is") {
    const Ran ran = bench.run(book("touch up"), dir(bench));
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 3);
    // Measured, run, and proved again; the other would wait for an hour.
    const std::string asked = bench.read("asked");
    CHECK(std::count(asked.begin(), asked.end(), 'w') == 3);
    CHECK(std::count(asked.begin(), asked.end(), 'c') == 2);
  }
  SUBCASE("it is not") {
    const Ran ran = bench.run(book("true"), dir(bench));
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 4);
    CHECK(bench.run_state() == "failed");
    CHECK(flat(ran.out + ran.err).find("step well failed: ") != std::string::npos);
    bench.write("up", "");
    CHECK(bench.relight({"resume"}).exit == 3);
    CHECK(bench.run_state() == "rolled-back");
  }
}

TEST_CASE("a rollback to a step leaves what came before, and can be gone on from") {
  Bench bench;
  CHECK(bench
            .run(shell_book(R"(
    sh("one", "echo one >> out")
    sh("two", "echo two >> out")
    sh("bad", "test -e mended")
  )"),
                 dir(bench))
            .exit == 1);
  CHECK(bench.relight({"rollback", "--to", "one", "--yes"}).exit == 0);
  CHECK(bench.read("out") == "one\ntwo\nundo bad\nundo two\n");
  bench.write("mended", "");
  const Ran ran = bench.relight({"resume"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "one\ntwo\nundo bad\nundo two\ntwo\n");
}

TEST_CASE("a step with no way back is told, and the rest is undone") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    sh("one", "echo one >> out")
    shell.run "mail" { command = { "/bin/true" } }
    sh("bad", "false")
  )",
                                       "on_failure = \"rollback\""),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 4);
  CHECK(bench.read("out") == "one\nundo bad\nundo one\n");
  CHECK(ran.out.find("mail") != std::string::npos);
  // A person says that it may stay.
  const Ran after = bench.relight({"resume", "--skip", "mail", "--because", "a mail cannot be called back"});
  INFO(after.out, after.err);
  CHECK(after.exit == 3);
}

TEST_CASE("a passing error is tried again, a lasting one is not") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    sh("flaky", "echo try >> out; test $(wc -l < out) -ge 3", { retry = { attempts = 5, backoff = "10ms" } })
  )"),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "try\ntry\ntry\n");
  CHECK(bench.status()["steps"][0]["attempts"] == 3);
}

TEST_CASE("a timeout ends the step and everything that it started") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    sh("slow", "setsid sh -c 'echo $$ > daemon; sleep 300' & echo $$ > leader; sleep 300", { timeout = "300ms" })
  )"),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(ran.out.find("timeout") != std::string::npos);
  for (const char* name : {"leader", "daemon"}) {
    const int pid = std::stoi(bench.read(name));
    CHECK_FALSE(sys::alive(sys::process_now(pid)));
  }
}

TEST_CASE("an approval is waited for, and nothing behind it begins") {
  Bench bench;
  const std::string text = shell_book(R"(
    sh("before", "echo before >> out")
    approve "fenced" { prompt = "Is the old host off?" }
    sh("free", "echo free >> out", { after = {} })
  )");
  const Ran ran = bench.run(text, dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 6);
  CHECK(bench.run_state() == "waiting");
  CHECK(bench.state_of("fenced") == "waiting");
  CHECK(bench.read("out") == "before\n");
  CHECK(ran.out.find("--approve fenced") != std::string::npos);
  CHECK(bench.relight({"resume", "--approve", "wrong"}).exit == 2);
  CHECK(bench.relight({"resume", "--yes"}).exit == 6);
  CHECK(bench.relight({"resume", "--approve", "fenced"}).exit == 0);
  CHECK(bench.read("out") == "before\nfree\n");
}

TEST_CASE("when decides, by a value or by what came before") {
  Bench bench;
  const Ran ran = bench.run(shell_book(R"(
    local look = sh("look", "echo yes")
    sh("never", "echo never >> out", { when = false })
    sh("maybe", "echo maybe >> out", { when = function(o) return o.look.stdout == "yes" end })
    sh("not", "echo not >> out", { when = function(o) return o.look.stdout == "no" end })
  )"),
                            dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "maybe\n");
  CHECK(bench.state_of("not") == "skipped");
}

TEST_CASE("an error that is passed over must be waived by somebody") {
  Bench bench;
  const std::string steps = R"(
    sh("bad", "false", { on_failure = "continue", waive = "the cache is warmed by hand" })
    sh("next", "echo next >> out")
  )";
  const Ran ran = bench.run(shell_book(steps), dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "next\n");
  CHECK(bench.state_of("bad") == "failed");
  CHECK(ran.out.find("the cache is warmed by hand") != std::string::npos);
}

TEST_CASE("a budget that is missed or cannot be known is exit 7") {
  Bench bench;
  const Ran ran =
      bench.run(shell_book("sh(\"one\", \"sleep 0.05\")", "budget = { rto = \"1ms\" }"), dir(bench));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 7);
  CHECK(ran.out.find("RTO") != std::string::npos);
}

TEST_CASE("a step is left out openly, and a runbook mended openly") {
  Bench bench;
  CHECK(bench
            .run(shell_book(R"(
    sh("one", "echo one >> out")
    sh("bad", "exit 7")
    sh("last", "echo last >> out")
  )"),
                 dir(bench))
            .exit == 1);
  SUBCASE("skip") {
    CHECK(bench.relight({"resume", "--skip", "bad"}).exit == 2);
    const Ran ran = bench.relight({"resume", "--skip", "bad", "--because", "done by hand"});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
    CHECK(bench.read("out") == "one\nlast\n");
  }
  SUBCASE("amend") {
    bench.write("mended.lua", shell_book(R"(
      sh("one", "echo one >> out")
      sh("bad", "echo good >> out")
      sh("last", "echo last >> out")
    )"));
    const Ran ran = bench.relight({"resume", "--amend", bench.file("mended.lua")});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
    CHECK(bench.read("out") == "one\ngood\nlast\n");
    CHECK(ran.out.find("bad: changed") != std::string::npos);
  }
}
