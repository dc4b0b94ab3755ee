#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/crash.h"
#include "tests/support/port.h"
#include "tests/support/service.h"
#include "tests/support/test_call.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

namespace {

const StepType& type() {
  return type_named("service.stop");
}

// A service that runs before the step that is to stop it.
struct Running {
  explicit Running(bool stubborn = false) : end(pid_file()) {
    command = listening_command(port, stubborn);
    command.push_back(child_file());
    TestParams params(type_named("service.start"),
                      Json{{"command", command}, {"pid_file", pid_file()}, {"port", port}}.dump());
    TestCall call("start", "earlier-" + name_of_path(folder.path()));
    Json outputs = type_named("service.start").make()->apply(params, call);
    process = *process_from(outputs["identity"]);
  }
  std::string pid_file() const { return folder.path() + "/pid"; }
  std::string child_file() const { return folder.path() + "/child"; }
  std::string stop_params(const Json& more = Json::object()) const {
    Json params = {{"pid_file", pid_file()}, {"port", port}};
    params.update(more);
    return params.dump();
  }

  TempFolder folder;
  int port = free_port();
  std::vector<std::string> command;
  EndAtExit end;
  ProcessId process;
};

}  // namespace

TEST_CASE("a service is ended, its port free; done again, nothing happens; undo starts it again") {
  Running service;
  TestParams params(type(), service.stop_params({{"command", service.command}}));
  TestCall call("stop");
  auto step = type().make();
  CHECK(step->targets(params) == std::vector<std::string>{"service:" + service.pid_file()});
  const std::string before = step->state_digest(params, call);
  Json outputs;
  CHECK(step->check(params, call, outputs) == Done::no);
  outputs = step->apply(params, call);
  CHECK(outputs == Json{{"was_running", true}});
  CHECK_FALSE(alive(service.process));
  CHECK(strangers_on(service.port).empty());
  CHECK_FALSE(exists(service.pid_file()));
  CHECK(step->apply(params, call) == outputs);
  Json checked;
  CHECK(step->check(params, call, checked) == Done::yes);
  CHECK(checked == outputs);

  step->undo(params, call, &outputs);
  CHECK(step->state_digest(params, call) == before);
  CHECK_FALSE(strangers_on(service.port).empty());
  const std::string again = read_file(service.pid_file());
  step->undo(params, call, &outputs);
  CHECK(read_file(service.pid_file()) == again);
}

TEST_CASE("what ignores SIGTERM is ended too, with what the service started") {
  Running service(true);
  REQUIRE(wait_until(10s, 5ms, {}, [&] {
    auto text = read_file_if_there(service.child_file());
    return text && text->ends_with("\n");
  }));
  ProcessId child = process_now(std::stoi(read_file(service.child_file())));
  REQUIRE(alive(child));
  TestParams params(type(), service.stop_params());
  TestCall call("stop");
  type().make()->apply(params, call);
  CHECK_FALSE(alive(service.process));
  CHECK_FALSE(alive(child));

  Running deaf;
  kill(deaf.process.pid, SIGSTOP);  // what is stopped answers no SIGTERM
  REQUIRE(wait_until(10s, 1ms, {}, [&] { return proc_stat(deaf.process.pid)->state == 'T'; }));
  TestParams deaf_params(type(), deaf.stop_params({{"within", "200ms"}}));
  type().make()->apply(deaf_params, call);
  CHECK_FALSE(alive(deaf.process));
  CHECK(join(call.lines, "\n") ==
        "the service of " + deaf.pid_file() + " did not end within 0.2s of SIGTERM: SIGKILL");
}

TEST_CASE("what does not exist is stopped already") {
  TempFolder folder;
  TestCall call("stop");
  auto step = type().make();
  for (const Json& values :
       {Json{{"pid_file", folder.path() + "/pid"}}, Json{{"unit", "postgresql@15-no-such"}}}) {
    TestParams params(type(), values.dump());
    CHECK(step->preview(params, call).verdict == Preview::Verdict::nothing_to_do);
    CHECK(step->apply(params, call) == Json{{"was_running", false}});
    step->undo(params, call, nullptr);
  }
  StandInSystemd systemd;
  SystemdCall unit_call(systemd, "stop");
  TestParams params(type(), R"({"unit": "aihummer"})");
  CHECK(step->apply(params, unit_call) == Json{{"was_running", false}});
}

TEST_CASE("a unit is stopped and started again by systemctl") {
  StandInSystemd systemd;
  systemd.add("aihummer", "exec sleep 1000");
  SystemdCall start_call(systemd, "start"), call(systemd, "stop");
  TestParams start(type_named("service.start"), R"({"unit": "aihummer"})"),
      stop(type(), R"({"unit": "aihummer"})");
  type_named("service.start").make()->apply(start, start_call);
  auto step = type().make();
  const std::string before = step->state_digest(stop, call);
  step->apply(stop, call);
  CHECK(step->state_digest(stop, call) != before);
  step->undo(stop, call, nullptr);
  CHECK(step->state_digest(stop, call) == before);
}

TEST_CASE("a port that another process keeps is a problem of the plan, and an error that names it") {
  Running service, stranger;
  Json values = Json::parse(service.stop_params({{"port", stranger.port}, {"within", "300ms"}}));
  TestParams params(type(), values.dump());
  TestCall call("stop");
  auto step = type().make();
  Preview preview = step->preview(params, call);
  REQUIRE(preview.problems.size() == 1);
  const std::string who = "process " + std::to_string(stranger.process.pid) +
                          " (perl) listens on 127.0.0.1 port " + std::to_string(stranger.port);
  CHECK(preview.problems[0].why == who + ", and is not this service");
  CHECK_THROWS_WITH_AS(step->apply(params, call),
                       ("the port is not free: " + std::to_string(stranger.port) + ": " + who).c_str(),
                       Error);
  CHECK(alive(stranger.process));
}

TEST_CASE("without `command` the plan says that it cannot be started again, and undo leaves it") {
  Running service;
  TestParams params(type(), service.stop_params());
  TestCall call("stop");
  auto step = type().make();
  CHECK(step->preview(params, call).cannot_undo ==
        "that it is stopped: without `command` it is not known how it is started");
  step->apply(params, call);
  step->undo(params, call, nullptr);
  CHECK(strangers_on(service.port).empty());
  CHECK(call.lines.size() == 1);
}

TEST_CASE("a real cluster stops cleanly, and starts again") {
  DebianCluster cluster;
  TestCall start_call("start"), call("stop");
  TestParams start(type_named("service.start"), Json{{"unit", cluster.unit()}}.dump());
  TestParams stop(type(), Json{{"unit", cluster.unit()}, {"port", cluster.port()}}.dump());
  Json outputs = type_named("service.start").make()->apply(start, start_call);
  auto step = type().make();
  CHECK(step->apply(stop, call) == Json{{"was_running", true}});
  CHECK_FALSE(alive(*process_from(outputs["identity"])));
  CHECK_FALSE(exists("/var/lib/postgresql/15/" + cluster.unit().substr(14) + "/postmaster.pid"));
  step->undo(stop, call, nullptr);
  Json nothing;
  CHECK(step->check(stop, call, nothing) == Done::no);
}
