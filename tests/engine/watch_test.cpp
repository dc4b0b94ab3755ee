// A probe that watches tells the downtime that its client saw, in run, rollback and resume.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/http_server.h"
#include "tests/support/port.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// A service that answers as long as its file is there.
struct Watched : Bench {
  Watched() { write("up", ""); }
  std::string book(const std::string& steps, const std::string& fields = "") const {
    return shell_book("probe.http \"well\" { url = \"http://127.0.0.1:" + std::to_string(port) +
                          "/\", watch = \"20ms\", proves = \"both\", within = \"30s\" }\n" + steps,
                      fields);
  }
  std::vector<std::string> here() const { return {"--set", "dir=" + path()}; }
  Json downtime() const { return status()["downtime"]; }

  int port = free_port();
  HttpServer server{port, [up = file("up")](const auto&, const auto&, const auto&, const auto&) {
                      return HttpReply{access(up.c_str(), F_OK) == 0 ? 200 : 503, ""};
                    }};
};

}  // namespace

TEST_CASE("the downtime of a run is measured by a client, and told") {
  Watched host;
  const Ran ran = host.run(host.book(R"(
    sh("stop", "rm up; sleep 0.4")
    sh("start", "touch up")
  )"),
                           host.here());
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  const Json downtime = host.downtime();
  INFO(downtime.dump());
  REQUIRE(downtime.size() == 1);
  CHECK(downtime[0]["ms"] >= 400);
  CHECK(downtime[0]["step"] == "well");
  CHECK(downtime[0]["in_rollback"] == false);
  CHECK(ran.out.find("as the probe well saw it") != std::string::npos);
  CHECK(host.relight({"report"}).out.find("Downtime, as the probe well saw it") != std::string::npos);

  // By hand, later: that of the rollback is its own.
  const Ran back = host.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(host.downtime().size() == 1);
}

TEST_CASE("what was never down says so, and what is down at the end, too") {
  Watched host;
  CHECK(host.run(host.book("sh(\"idle\", \"true\")"), host.here()).out.find("downtime none") !=
        std::string::npos);
  const Ran ran =
      host.run(host.book("sh(\"stop\", \"rm up\")\nsh(\"bad\", \"sleep 0.2; false\")"), host.here());
  CHECK(ran.exit == 1);
  INFO(ran.out);
  CHECK(ran.out.find("DOWN since 20") != std::string::npos);
  CHECK(host.downtime()[0]["to"].is_null());
}

TEST_CASE("a failed run that goes back tells the downtime up to the old version's answer") {
  Watched host;
  const Ran ran = host.run(host.book(R"(
    shell.run "stop" { command = { "/bin/sh", "-c", "rm up; sleep 0.3" }, cwd = input.dir, undo = { "/bin/touch", input.dir / "up" } }
    sh("bad", "false")
  )",
                                     "on_failure = \"rollback\""),
                           host.here());
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 3);
  const Json downtime = host.downtime();
  REQUIRE(downtime.size() == 1);
  CHECK(downtime[0]["in_rollback"] == true);
  CHECK(downtime[0]["ms"] >= 300);
}

TEST_CASE("killed while it is down, and resumed: one downtime, from before the kill") {
  Watched host;
  host.write("book.lua", host.book(R"(
    sh("stop", "rm up; sleep 0.2; touch stopped")
    sh("wait", "test -e go || { touch waits; sleep 60; }", { in_doubt = "again" })
    sh("start", "touch up")
  )"));
  const int pid = host.start({"run", host.file("book.lua"), "--set", "dir=" + host.path()});
  wait_for_file(host.file("waits"));
  kill(pid, SIGKILL);
  wait_for_exit(pid);
  const Json before = host.downtime();
  REQUIRE(before.size() == 1);
  host.write("go", "");
  const Ran resumed = host.relight({"resume"});
  INFO(resumed.out, resumed.err);
  REQUIRE(resumed.exit == 0);
  const Json after = host.downtime();
  REQUIRE(after.size() == 1);
  CHECK(after[0]["from"] == before[0]["from"]);
  CHECK(after[0]["ms"] >= 200);
}
