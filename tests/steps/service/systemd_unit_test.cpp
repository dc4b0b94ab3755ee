// service.start and service.stop of units, and a probe of what they run, by a real systemd.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/machine.h"
#include "tests/support/port.h"
#include "tests/support/service.h"
#include "tests/support/unit.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

namespace {

void probe(int port, const Json& service, const std::string& body) {
  const StepType& type = type_named("probe.http");
  TestParams params(type, Json{{"url", "http://127.0.0.1:" + std::to_string(port) + "/"},
                               {"service", service},
                               {"within", "20s"},
                               {"expect", {{"body", body}}}}
                              .dump());
  TestCall call("probe");
  CHECK(type.make()->apply(params, call)["status"] == 200);
}

}  // namespace

TEST_CASE("service.start and service.stop drive units of a real systemd") {
  run_in_machine(__FILE__);
}

TEST_SUITE_BEGIN("machine");

TEST_CASE("a unit is started, known by its main process, adopted, and stopped again by undo") {
  TestUnit unit("app");
  const int port = free_port();
  unit.install(web_server(unit, port));
  UnitStep start("service.start", unit, {{"version", "1.4.2"}});
  CHECK(start.preview().summary == "start unit app");
  const std::string stopped = start.digest();
  Json outputs = start.apply();
  CHECK(unit.state() == "active");
  CHECK(outputs == Json{{"identity", to_text(process_now(unit.pid()))},
                        {"pid", unit.pid()},
                        {"version", "1.4.2"},
                        {"log_from", 0}});
  probe(port, outputs["identity"], "ok");
  CHECK(start.apply() == outputs);
  Json checked;
  CHECK(start.check(checked) == Done::yes);
  CHECK(checked == outputs);

  start.undo();
  CHECK(unit.state() == "inactive");
  CHECK(strangers_on(port).empty());
  CHECK(start.digest() == stopped);
  start.undo();
  CHECK(start.check() == Done::no);
}

TEST_CASE(
    "what runs already is left alone by start and by its undo; what does not, by stop and by its undo") {
  TestUnit unit("app");
  unit.install("ExecStart=/bin/sleep 1000");
  REQUIRE(systemctl({"start", unit.name()}) == 0);
  const int pid = unit.pid();
  UnitStep start("service.start", unit);
  CHECK(start.preview().verdict == Preview::Verdict::nothing_to_do);
  CHECK(start.apply()["pid"] == pid);
  start.undo();
  CHECK(unit.pid() == pid);

  REQUIRE(systemctl({"stop", unit.name()}) == 0);
  UnitStep stop("service.stop", unit);
  CHECK(stop.preview().verdict == Preview::Verdict::nothing_to_do);
  CHECK(stop.apply() == Json{{"was_running", false}});
  stop.undo();
  CHECK(unit.state() == "inactive");
}

TEST_CASE("a unit is ended with all that it started, its port free; undo starts it again") {
  TestUnit unit("app");
  const int port = free_port();
  unit.install(web_server(unit, port) + "\nExecStartPost=/bin/sh -c 'sleep 1000 & echo $! >" +
               unit.path("child") + "'\nRestart=always");
  REQUIRE(systemctl({"start", unit.name()}) == 0);
  const ProcessId main = process_now(unit.pid()),
                  child = process_now(std::stoi(read_file(unit.path("child"))));
  REQUIRE(alive(child));
  UnitStep stop("service.stop", unit, {{"port", port}});
  const std::string before = stop.digest();
  CHECK(stop.preview().problems.empty());
  CHECK(stop.check() == Done::no);
  CHECK(stop.apply() == Json{{"was_running", true}});
  CHECK_FALSE(alive(main));
  CHECK_FALSE(alive(child));
  CHECK(stop.apply() == Json{{"was_running", true}});
  CHECK(stop.check() == Done::yes);
  stop.undo();
  CHECK(stop.digest() == before);
  const int again = unit.pid();
  stop.undo();
  CHECK(unit.pid() == again);
}

TEST_CASE("a unit that does not come up is told with what it said") {
  struct Case {
    std::string service, why;
    Json more = Json::object();
  };
  for (const Case& one :
       {Case{"ExecStart=/bin/sh -c 'echo cannot read the key >&2; exit 3'", "cannot read the key"},
        // What the process said of it is lost where the journal looks at it too late.
        Case{"Type=exec\nExecStart=/no/such/program", "203/EXEC"},
        Case{"Type=notify\nExecStart=/bin/sh -c 'echo no database; exit 1'", "no database"},
        Case{"Type=forking\nExecStart=/bin/sh -c 'echo port is taken; exit 1'", "port is taken"},
        Case{"Restart=always\nRestartSec=100ms\nExecStart=/bin/sh -c 'echo again and again; exit 1'",
             "again and again",
             {{"within", "1s"}}},
        Case{"Restart=always\nRestartSec=1h\nExecStart=/bin/sh -c 'echo not for an hour; exit 1'",
             "not for an hour",
             {{"within", "1s"}}},
        Case{"ExecStartPre=/bin/sh -c 'echo not yet; exit 1'\nExecStart=/bin/sleep 1000", "not yet"},
        Case{"ExecStart=/bin/sh -c 'seq 1000; echo the last word; exit 1'", "the last word"},
        Case{"", "bad unit file setting"}}) {
    CAPTURE(one.service);
    TestUnit unit("broken");
    unit.install(one.service);
    UnitStep start("service.start", unit, one.more);
    const Error error = start.fails();
    CAPTURE(error.why);
    CHECK(error.failed == "cannot start");
    CHECK(error.on == "unit broken");
    CHECK(error.why.find(one.why) != std::string::npos);
    CHECK(error.hint == "systemctl status broken");
    CHECK(start.check() == Done::no);
    start.undo();
    const std::string state = unit.state();
    CHECK((state == "inactive" || state == "failed"));
  }
}

TEST_CASE("with `port` a unit is up when it listens there, and not before") {
  TestUnit unit("app");
  const int port = free_port();
  unit.install("ExecStart=/bin/sh -c 'echo deaf; exec sleep 1000'");
  UnitStep deaf("service.start", unit, {{"port", port}, {"within", "1s"}});
  CHECK(deaf.fails().why.starts_with("it does not listen on port " + std::to_string(port) + " after 1.0s"));
  deaf.undo();
  CHECK(unit.state() == "inactive");
  unit.install(web_server(unit, port));
  const Json outputs = UnitStep("service.start", unit, {{"port", port}}).apply();
  CHECK(strangers_on(port) == outputs["pid"].dump());
}

TEST_CASE("a unit that failed before, even too often, is started once its cause is mended") {
  TestUnit unit("app");
  unit.install("ExecStart=/bin/false");
  for (int i = 0; i < 7; ++i) systemctl({"start", unit.name()});
  // The last of them may have been started, on a slow machine, and not have ended yet.
  REQUIRE(wait_until(30s, 10ms, {}, [&] { return unit.state() == "failed"; }));
  unit.install("ExecStart=/bin/sleep 1000");
  UnitStep start("service.start", unit);
  CHECK(start.preview().summary == "start unit app");
  start.apply();
  CHECK(unit.state() == "active");
  start.undo();
  CHECK(unit.state() == "inactive");
}

TEST_CASE("no such unit, and one that is masked, are refused before any effect; the plan hints at them") {
  TestUnit none("no-such"), masked("masked");
  masked.install("ExecStart=/bin/sleep 1000");
  masked.remove_file();
  REQUIRE(systemctl({"mask", masked.name()}) == 0);
  for (const auto& [unit, what] :
       {std::pair<const TestUnit*, std::string>{&none, "no such unit"}, {&masked, "the unit is masked"}}) {
    UnitStep start("service.start", *unit), stop("service.stop", *unit);
    const Error error = start.fails();
    CHECK(error.failed == what);
    CHECK(error.kind == ErrorKind::refused);
    CHECK_FALSE(start.noted());
    const Preview preview = start.preview();
    CHECK(preview.problems.empty());
    CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
    CHECK(stop.preview().verdict == Preview::Verdict::nothing_to_do);
    CHECK(stop.apply() == Json{{"was_running", false}});
    stop.undo();
  }
}

TEST_CASE("a unit's file that an earlier step wrote anew is the one that counts") {
  TestUnit unit("app");
  const int port = free_port();
  UnitStep start("service.start", unit);
  CHECK(start.fails().failed == "no such unit");
  unit.install(web_server(unit, port, "one"));
  Json outputs = start.apply();
  probe(port, outputs["identity"], "one");
  start.undo();
  unit.install(web_server(unit, port, "two"));
  UnitStep again("service.start", unit);
  outputs = again.apply();
  probe(port, outputs["identity"], "two");
}

TEST_CASE("a unit whose file is gone is stopped while it runs") {
  TestUnit unit("app");
  unit.install("ExecStart=/bin/sleep 1000");
  REQUIRE(systemctl({"start", unit.name()}) == 0);
  const ProcessId process = process_now(unit.pid());
  unit.remove_file();
  REQUIRE(systemctl({"daemon-reload"}) == 0);
  REQUIRE(unit.property("LoadState") == "not-found");
  UnitStep stop("service.stop", unit);
  CHECK(stop.preview().verdict == Preview::Verdict::would_change);
  CHECK(stop.apply() == Json{{"was_running", true}});
  CHECK_FALSE(alive(process));
}

TEST_CASE("with `enable` a unit is started at every boot, too; undo disables it if it was not enabled") {
  TestUnit unit("app");
  unit.install("ExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target");
  CHECK(UnitStep("service.start", unit).preview().hints.size() == 1);  // not enabled
  UnitStep start("service.start", unit, {{"enable", true}});
  CHECK(start.preview().summary == "start and enable unit app");
  const std::string before = start.digest();
  REQUIRE(start.killed_applying("service.start:started"));
  CHECK(start.check() == Done::no);
  CHECK(start.preview().summary.starts_with("enable unit app, which runs already"));
  start.apply();
  CHECK(unit.property("UnitFileState") == "enabled");
  CHECK(start.check() == Done::yes);
  CHECK(start.preview().verdict == Preview::Verdict::nothing_to_do);
  start.undo();
  CHECK(unit.property("UnitFileState") == "disabled");
  CHECK(start.digest() == before);

  TestUnit other("other");
  other.install("ExecStart=/bin/sleep 1000");
  UnitStep static_one("service.start", other, {{"enable", true}});
  CHECK(static_one.fails().why == "its file says nothing of when it is started");
  static_one.undo();
  CHECK(other.state() == "inactive");
}

TEST_CASE("what was enabled before stays so") {
  TestUnit unit("app");
  unit.install("ExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target");
  REQUIRE(systemctl({"enable", unit.name()}) == 0);
  UnitStep start("service.start", unit, {{"enable", true}});
  start.apply();
  start.undo();
  CHECK(unit.property("UnitFileState") == "enabled");
  CHECK(unit.state() == "inactive");
  systemctl({"disable", unit.name()});
}

TEST_CASE("units without a main process, and those that fork, are up and probed, too") {
  const int port = free_port();
  TestUnit forking("forking");
  forking.install("Type=forking\n" + web_server(forking, port, "ok", true));
  const Json outputs = UnitStep("service.start", forking).apply();
  CHECK(outputs["pid"] == forking.pid());
  probe(port, outputs["identity"], "ok");

  TestUnit group("group");
  group.install("Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true");
  UnitStep start("service.start", group);
  const Json none = start.apply();
  CHECK(none["pid"] == 0);
  probe(port, none["identity"], "ok");  // there is nobody to compare with
  start.undo();
  CHECK(group.state() == "inactive");
}

TEST_CASE("a PostgreSQL cluster is started and stopped by its unit's name, by systemd") {
  DebianCluster cluster;
  REQUIRE(systemctl({"daemon-reload"}) == 0);
  const Json unit = {{"unit", cluster.unit()}};
  TestParams start(type_named("service.start"), unit.dump());
  TestParams stop(type_named("service.stop"),
                  Json{{"unit", cluster.unit()}, {"port", cluster.port()}}.dump());
  TestCall start_call("start"), stop_call("stop");
  const Json outputs = type_named("service.start").make()->apply(start, start_call);
  const auto process = process_from(outputs["identity"]);
  REQUIRE(process);
  CHECK(read_file("/proc/" + std::to_string(process->pid) + "/comm") == "postgres\n");
  CHECK(strangers_on(cluster.port()) != "");
  CHECK(systemctl({"is-active", cluster.unit()}) == 0);
  type_named("service.stop").make()->apply(stop, stop_call);
  CHECK_FALSE(alive(*process));
  type_named("service.stop").make()->undo(stop, stop_call, nullptr);
  CHECK(systemctl({"is-active", cluster.unit()}) == 0);
}

TEST_SUITE_END();
