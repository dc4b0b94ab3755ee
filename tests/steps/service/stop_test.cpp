#include <doctest/doctest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/crash.h"
#include "tests/support/port.h"
#include "tests/support/service.h"
#include "tests/support/skip.h"
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
    start();
  }
  // One that is told to end, and does so when the file word() is there.
  struct InItsTime {};
  explicit Running(InItsTime) : end(pid_file()) {
    command = listening_command(port);
    command[3] =
        "$SIG{TERM} = sub { select(undef, undef, undef, 0.002) until -e $ARGV[1]; open F, '>', $ARGV[2]; "
        "print F 'finished'; close F; exit };" +
        command[3];
    command.insert(command.end(), {word(), finished()});
    start();
  }
  void start() {
    TestParams params(type_named("service.start"),
                      Json{{"command", command}, {"pid_file", pid_file()}, {"port", port}}.dump());
    TestCall call("start", "earlier-" + name_of_path(folder.path()));
    Json outputs = type_named("service.start").make()->apply(params, call);
    process = *process_from(outputs["identity"]);
  }
  std::string pid_file() const { return folder.path() + "/pid"; }
  std::string child_file() const { return folder.path() + "/child"; }
  std::string word() const { return folder.path() + "/word"; }
  std::string finished() const { return folder.path() + "/finished"; }
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

namespace {

// Counts how often the step has looked whether it is to go on waiting.
struct LookingCall : TestCall {
  LookingCall() : TestCall("stop") {}
  bool stop_wanted() const override {
    ++looks;
    if (on_look) on_look();
    return false;
  }
  void log(const std::string& line) override {
    TestCall::log(line);
    looks = 0;
    logged = true;
  }
  mutable std::atomic<int> looks = 0;
  std::atomic<bool> logged = false;
  std::function<void()> on_look;
};

// Lets a process come to its end, and no further before release(): it holds its port and its files till then.
class HeldAtItsEnd {
 public:
  explicit HeldAtItsEnd(const ProcessId& process) : thread_([this, pid = process.pid] { hold(pid); }) {
    while (!held_ && !refused_) std::this_thread::yield();
  }
  ~HeldAtItsEnd() {
    release();
    thread_.join();
  }
  bool refused() const { return refused_; }
  void release() { released_ = true; }

 private:
  void hold(pid_t pid) {
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT) != 0) {
      refused_ = true;
      return;
    }
    held_ = true;
    for (int status = 0; waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);) {
      const bool ending = status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXIT << 8));
      while (ending && !released_) std::this_thread::sleep_for(1ms);
      ptrace(PTRACE_CONT, pid, 0, ending ? 0 : WSTOPSIG(status));
    }
  }

  std::atomic<bool> held_ = false, refused_ = false, released_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a service that ends in its own time is waited for, until it has ended and not until it is told") {
  Running service{Running::InItsTime()};
  TestParams params(type(), service.stop_params());
  LookingCall call;
  call.on_look = [&] {
    if (call.looks == 3) write_file(service.word(), "", 0644);
  };
  type().make()->apply(params, call);
  CHECK(read_file_if_there(service.finished()) == "finished");
  CHECK_FALSE(alive(service.process));
  CHECK(strangers_on(service.port).empty());
  CHECK(call.lines.empty());
}

TEST_CASE("a service that was killed is waited for until it is gone") {
  Running service;
  HeldAtItsEnd held(service.process);
  if (held.refused()) return not_run_here("ptrace is not allowed");
  TestParams params(type(), service.stop_params({{"within", "3s"}}));
  LookingCall call;
  call.on_look = [&] {
    if (call.logged && call.looks == 3) held.release();
  };
  type().make()->apply(params, call);
  CHECK_FALSE(alive(service.process));
  CHECK(strangers_on(service.port).empty());
  CHECK(join(call.lines, "\n") ==
        "the service of " + service.pid_file() + " did not end within 3.0s of SIGTERM: SIGKILL");
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
