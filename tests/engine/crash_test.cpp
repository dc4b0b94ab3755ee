// Runs that are killed, and gone on with: whatever was in flight, the end is the one of a run without a
// fault.
#include <doctest/doctest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "runner/sys/json_whole.h"
#include "runner/sys/keeper.h"
#include "runner/sys/proc.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/kill.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// A step that is in flight until the file `go` is there.
const char* const in_flight = "touch flying; while [ ! -e go ]; do sleep 0.01; done; ";

struct Killed : Bench {
  // Starts the run and returns when its step is in flight.
  int start_book(const std::string& text) const {
    write("book.lua", text);
    const int pid = start({"run", file("book.lua"), "--set", "dir=" + path()});
    wait_for_file(file("flying"));
    return pid;
  }
  // Until the keeper has ended what it keeps: the step must not see what the test does next.
  void kill_book(const std::string& text) const { kill_and_wait(start_book(text)); }
  // SIGKILL to relight alone; its keeper ends what it keeps.
  static void end(int pid) {
    kill(pid, SIGKILL);
    CHECK(wait_for_exit(pid) == 128 + SIGKILL);
  }
  void go() const { write("go", ""); }
  Ran resume(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "resume");
    return relight(std::move(more));
  }
  std::string started_out() const { return read("started.out"); }
};

}  // namespace

TEST_CASE("nothing of the killed attempt is alive when the step is touched again") {
  Killed bench;
  // The first attempt leaves a child, a daemon in a session of its own, and one that closed every descriptor.
  // Each attempt tells which of them it still sees.
  bench.write("leave", R"(#!/bin/sh
for pid in $(cat pids 2>/dev/null); do
  grep -qs '^State:.[^ZX]' /proc/$pid/status && echo "$pid is alive" >> seen
done
if [ ! -e go ]; then
  sh -c 'echo $$ >> pids; touch child; sleep 600' &
  (setsid sh -c 'sh -c "echo \$\$ >> pids; touch daemon; sleep 600" & exit 0' &)
  (setsid perl -e 'use POSIX; POSIX::close($_) for 0..255; open(F, ">>pids"); print F "$$\n"; close F;
                   open(F, ">closed"); close F; sleep 600' &)
  while [ ! -e child -o ! -e daemon -o ! -e closed ]; do sleep 0.01; done
  touch flying
  sleep 600
fi
echo done >> out
)",
              0755);
  const std::string text = shell_book(R"(sh("leave", "exec ./leave"))");
  const int pid = bench.start_book(text);
  std::vector<int> left;
  const std::string pids = bench.read("pids");
  for (std::size_t at = 0; at < pids.size(); at = pids.find('\n', at) + 1)
    left.push_back(std::stoi(pids.substr(at)));
  REQUIRE(left.size() == 3);
  SUBCASE("relight is killed") {
    Killed::end(pid);
  }
  SUBCASE("relight and its keeper are killed together") {
    kill(pid, SIGSTOP);
    const auto all = below(pid);
    for (const sys::ProcessId& process : all) {
      const std::string name =
          sys::read_file_if_there("/proc/" + std::to_string(process.pid) + "/comm").value_or("");
      if (name == "relight-keeper\n") kill(process.pid, SIGKILL);
    }
    Killed::end(pid);
  }
  bench.go();
  const Ran ran = bench.resume();
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("seen") == "");
  CHECK(bench.read("out") == "done\n");
  CHECK(bench.status()["steps"][0]["attempts"] == 2);
  for (const int one : left) CHECK_FALSE(sys::alive(sys::process_now(one)));
}

TEST_CASE("a step that only a person can judge is asked for, with the two commands to type") {
  Killed bench;
  const std::string text =
      shell_book(std::string("sh(\"one\", \"echo one >> out\")\n") + "sh(\"mail\", \"echo mail >> out; " +
                 in_flight + "\", { in_doubt = \"ask\" })\nsh(\"last\", \"echo last >> out\")");
  bench.kill_book(text);
  bench.go();
  CHECK(bench.run_state() == "interrupted");
  CHECK(bench.state_of("mail") == "in-doubt");
  const Ran asked = bench.resume();
  INFO(asked.out, asked.err);
  CHECK(asked.exit == 4);
  const std::string run = bench.status()["run"];
  CHECK(asked.out.find("\n  relight resume " + run + " --again mail\n") != std::string::npos);
  CHECK(asked.out.find("\n  relight resume " + run + " --done mail\n") != std::string::npos);
  CHECK(bench.state_of("mail") == "in-doubt");
  CHECK(bench.resume().exit == 4);  // nothing was decided by asking
  CHECK(bench.resume({"--again", "nail"}).exit == 2);
  SUBCASE("again") {
    CHECK(bench.resume({"--again", "mail"}).exit == 0);
    CHECK(bench.read("out") == "one\nmail\nmail\nlast\n");
  }
  SUBCASE("done") {
    CHECK(bench.resume({"--done", "mail"}).exit == 0);
    CHECK(bench.read("out") == "one\nmail\nlast\n");
    CHECK(bench.state_of("mail") == "done");
  }
  SUBCASE("or taken back") {
    CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
    CHECK(bench.read("out") == "one\nmail\nundo mail\nundo one\n");
  }
}

TEST_CASE("a step that a person called done is undone like any other when the run goes back") {
  Killed bench;
  bench.kill_book(shell_book(std::string("sh(\"mail\", \"echo mail >> out; ") + in_flight +
                                 "\", { in_doubt = \"ask\" })\nsh(\"bad\", \"false\")",
                             "on_failure = \"rollback\""));
  bench.go();
  const Ran ran = bench.resume({"--done", "mail"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 3);
  CHECK(bench.read("out") == "mail\nundo bad\nundo mail\n");
}

TEST_CASE("in doubt, the step's own words decide") {
  Killed bench;
  const auto killed = [&](const std::string& line, const std::string& more) {
    bench.kill_book(shell_book("sh(\"make\", \"" + line + "\", { in_doubt = \"ask\", " + more + " })"));
    bench.go();
  };
  SUBCASE("creates: it is there") {
    killed(std::string("echo made >> out; touch made; ") + in_flight, "creates = input.dir / \"made\"");
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "made\n");
  }
  SUBCASE("creates: it is not there") {
    killed(std::string("echo made >> out; ") + in_flight + " touch made", "creates = input.dir / \"made\"");
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "made\nmade\n");
  }
  SUBCASE("check: it is done") {
    killed(std::string("echo made >> out; ") + in_flight,
           "check = { \"/bin/grep\", \"-qs\", \"made\", input.dir / \"out\" }");
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "made\n");
  }
  SUBCASE("check: it is not done") {
    killed(std::string(in_flight) + "echo made >> out",
           "check = { \"/bin/grep\", \"-qs\", \"made\", input.dir / \"out\" }");
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "made\n");
  }
  SUBCASE("undo first, then afresh") {
    bench.kill_book(shell_book(std::string("sh(\"make\", \"echo made >> out; ") + in_flight +
                               "\", { in_doubt = \"undo\" })"));
    bench.go();
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "made\nundo make\nmade\n");
  }
}

TEST_CASE("a rollback that is killed is gone on with") {
  Killed bench;
  bench.write("book.lua", shell_book(R"(
    sh("one", "echo one >> out")
    sh("two", "echo two >> out", { undo = { "/bin/sh", "-ec", "cd " .. input.dir .. "; touch flying; while [ ! -e go ]; do sleep 0.01; done; echo undo two >> out" } })
    sh("bad", "false")
  )"));
  CHECK(bench.relight({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()}).exit == 1);
  const int pid = bench.start({"rollback", "--yes"});
  wait_for_file(bench.file("flying"));
  CHECK(bench.run_state() == "rolling-back");
  kill_and_wait(pid);
  CHECK(bench.run_state() == "interrupted");
  bench.go();
  const Ran ran = bench.resume();
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "one\ntwo\nundo bad\nundo two\nundo one\n");
  CHECK(bench.run_state() == "rolled-back");
}

TEST_CASE("a signal stops at a safe point, a second one at once") {
  Killed bench;
  const std::string text = shell_book(std::string("sh(\"slow\", \"") + in_flight +
                                      "echo slow >> out\")\nsh(\"last\", \"echo last >> out\")");
  const int pid = bench.start_book(text);
  const auto said = [&](const char* words) {
    return sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(5), {},
                           [&] { return bench.started_out().find(words) != std::string::npos; });
  };
  SUBCASE("SIGINT: the program that runs comes to its end") {
    kill(pid, SIGINT);
    CHECK(said("stopping at a safe point: waiting for slow"));
    bench.go();
    CHECK(wait_for_exit(pid) == 130);
    CHECK(bench.read("out") == "slow\n");
    CHECK(bench.run_state() == "interrupted");
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "slow\nlast\n");
  }
  SUBCASE("SIGTERM does the same") {
    kill(pid, SIGTERM);
    CHECK(said("stopping at a safe point: waiting for slow"));
    bench.go();
    CHECK(wait_for_exit(pid) == 130);
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "slow\nlast\n");
  }
  SUBCASE("SIGINT twice: it is ended, and in doubt") {
    kill(pid, SIGINT);
    CHECK(said("stopping at a safe point: waiting for slow"));
    kill(pid, SIGINT);
    CHECK(wait_for_exit(pid) == 130);
    CHECK(bench.read("out") == "");
    CHECK(bench.state_of("slow") == "in-doubt");
    bench.go();
    CHECK(bench.resume().exit == 0);
    CHECK(bench.read("out") == "slow\nlast\n");
  }
  SUBCASE("SIGHUP changes nothing") {
    kill(pid, SIGHUP);
    bench.go();
    CHECK(wait_for_exit(pid) == 0);
    CHECK(bench.read("out") == "slow\nlast\n");
  }
}

TEST_CASE("a worker stops at its safe point") {
  Killed bench;
  bench.write("book.lua", R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
script "long" { in_doubt = "again", run = function(ctx)
  ctx.run { "/bin/sh", "-c", "touch flying; while [ ! -e go ]; do sleep 0.01; done", cwd = input.dir }
  ctx.run { "/bin/sh", "-c", "echo long >> out", cwd = input.dir }
end }
)");
  const int pid = bench.start({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()});
  wait_for_file(bench.file("flying"));
  kill(pid, SIGINT);
  CHECK(wait_for_exit(pid) == 130);
  CHECK(bench.read("out") == "");
  bench.go();
  const Ran ran = bench.resume();
  INFO(ran.out, ran.err, bench.started_out());
  CHECK(ran.exit == 0);
  CHECK(bench.read("out") == "long\n");
}
