// Units that are slow, deaf or in a loop, and relight killed while it drives them, by a real systemd.
#include <doctest/doctest.h>
#include <csignal>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/machine.h"
#include "tests/support/port.h"
#include "tests/support/program.h"
#include "tests/support/service.h"
#include "tests/support/unit.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

TEST_CASE("slow and faulty units of a real systemd, and a killed relight, end as they should") {
  run_in_machine(__FILE__);
}

TEST_SUITE_BEGIN("machine");

TEST_CASE(
    "a unit that is slow to stop is waited for; one that is slower than `within` is told, and goes on") {
  TestUnit unit("slow");
  // It ends when it may; systemd would kill it after 90 s.
  unit.install("ExecStart=" + unit.script("slow", "#!/bin/sh\ntrap 'touch " + unit.path("told") +
                                                      "' TERM\ntouch " + unit.path("up") + "\nwhile [ ! -e " +
                                                      unit.path("go") + " ]; do sleep 0.01; done\n"));
  REQUIRE(systemctl({"start", unit.name()}) == 0);
  wait_for_file(unit.path("up"));
  const ProcessId process = process_now(unit.pid());
  UnitStep hasty("service.stop", unit, {{"within", "200ms"}}), patient("service.stop", unit);
  const Error error = hasty.fails();
  CHECK(error.failed == "cannot stop");
  CHECK(error.why.starts_with("it still runs after 0.2s"));
  CHECK(unit.state() == "deactivating");
  CHECK(hasty.check() == Done::no);
  CHECK(alive(process));

  // Meanwhile it is no service that runs: a start waits for the end of the old one.
  CHECK(UnitStep("service.start", unit).check() == Done::no);
  write_file(unit.path("go"), "", 0644);
  CHECK(patient.apply() == Json{{"was_running", true}});
  CHECK_FALSE(alive(process));
}

TEST_CASE("what ignores SIGTERM is killed by systemd, and counts as stopped") {
  TestUnit unit("deaf");
  unit.install("TimeoutStopSec=300ms\nExecStart=" +
               unit.script("deaf", "#!/bin/sh\ntrap '' TERM\ntouch " + unit.path("up") +
                                       "\nwhile :; do sleep 0.05; done\n"));
  REQUIRE(systemctl({"start", unit.name()}) == 0);
  wait_for_file(unit.path("up"));
  UnitStep stop("service.stop", unit);
  CHECK(stop.apply() == Json{{"was_running", true}});
  CHECK(stop.check() == Done::yes);
  stop.undo();
  CHECK(unit.state() == "active");
}

TEST_CASE("a unit that restarts for ever is ended by stop") {
  TestUnit unit("loop");
  unit.install("Restart=always\nRestartSec=1h\nExecStart=/bin/false");
  systemctl({"start", unit.name()});
  REQUIRE(wait_until(60s, 5ms, {}, [&] { return unit.property("SubState") == "auto-restart"; }));
  UnitStep stop("service.stop", unit);
  CHECK(stop.check() == Done::no);
  CHECK(stop.apply() == Json{{"was_running", true}});
  CHECK(unit.state() == "inactive");
}

TEST_CASE("a unit that is not up in time is told; it goes on starting, and undo ends it") {
  TestUnit unit("slow");
  unit.install(slow_to_start(unit));
  UnitStep start("service.start", unit, {{"within", "200ms"}});
  CHECK(start.fails().why.starts_with("not up after 0.2s"));
  CHECK(unit.state() == "activating");
  CHECK(start.check() == Done::no);
  SUBCASE("undone") {}
  SUBCASE("up after all") {
    write_file(unit.path("go"), "", 0644);
    CHECK(UnitStep("service.start", unit).apply()["pid"] == unit.pid());
    CHECK(split(trim(read_file(unit.path("starts"))), '\n').size() == 1);
  }
  start.undo();
  CHECK(unit.state() == "inactive");
}

TEST_CASE("start killed at every point and applied again: one service, which undo ends") {
  for (const std::string point :
       {"service.start:noted", "service.start:token-noted", "service.start:started"}) {
    CAPTURE(point);
    TestUnit unit("app");
    const int port = free_port();
    unit.install(web_server(unit, port));
    UnitStep start("service.start", unit, {{"port", port}});
    REQUIRE(start.killed_applying(point));
    const Json outputs = start.apply();
    CHECK(strangers_on(port) == outputs["pid"].dump());
    REQUIRE(start.killed_undoing("service.start:undone"));
    start.undo();
    CHECK(unit.state() == "inactive");
    CHECK(strangers_on(port).empty());
  }
}

TEST_CASE("stop killed at every point, applied again, undone: as it was before") {
  for (const std::string point : {"service.stop:noted", "service.stop:stopped"}) {
    CAPTURE(point);
    TestUnit unit("app");
    const int port = free_port();
    unit.install(web_server(unit, port));
    REQUIRE(systemctl({"start", unit.name()}) == 0);
    UnitStep stop("service.stop", unit, {{"port", port}});
    REQUIRE(stop.killed_applying(point));
    CHECK(stop.apply() == Json{{"was_running", true}});
    CHECK(strangers_on(port).empty());
    REQUIRE(stop.killed_undoing("service.stop:undone"));
    stop.undo();
    CHECK(strangers_on(port) == std::to_string(unit.pid()));
  }
}

TEST_CASE(
    "relight is killed while a unit starts: resumed, the unit was started once; rolled back, it is stopped") {
  TestUnit unit("slow");
  unit.install(slow_to_start(unit));
  Bench bench;
  bench.write("book.lua", R"(
runbook "book" {}
service.stop "stop" { unit = "slow" }
local slow = service.start "slow" { unit = "slow" }
probe.command "proof" { command = { "/bin/sh", "-c", "systemctl is-active slow; echo " .. slow.identity } }
)");
  const int pid = bench.start({"run", bench.file("book.lua")});
  wait_for_file(unit.path("starts"));
  kill(pid, SIGKILL);
  CHECK(wait_for_exit(pid) == 128 + SIGKILL);
  CHECK(unit.state() == "activating");
  write_file(unit.path("go"), "", 0644);
  const Ran resumed = bench.relight({"resume"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  CHECK(read_file(unit.path("starts")) == std::to_string(unit.pid()) + "\n");
  CHECK(unit.state() == "active");
  const Ran back = bench.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(unit.state() == "inactive");
}

TEST_SUITE_END();
