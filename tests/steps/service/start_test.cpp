#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/port.h"
#include "tests/support/service.h"
#include "tests/support/test_call.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

namespace {

const StepType& type() {
  return type_named("service.start");
}

// The parameters of a service that listens on `port`, known by FOLDER/pid.
std::string own(const TempFolder& folder, int port, const Json& more = Json::object()) {
  Json params = {{"command", listening_command(port)},
                 {"pid_file", folder.path() + "/pid"},
                 {"log", folder.path() + "/log"},
                 {"port", port}};
  params.update(more);
  return params.dump();
}

// A service is known by run and step on the whole host, where other tests may run at the same time.
const std::string own_run = "run-of-" + std::to_string(getpid());

int with_token(const std::string& token) {
  int count = 0;
  for (const ProcStat& stat : proc_all())
    count += !stat.ended() && proc_env(stat.process.pid, "RELIGHT_TOKEN") == token;
  return count;
}

}  // namespace

TEST_CASE(
    "a service of its own is started detached, known by pid file and token, and left alone by a second "
    "start") {
  TempFolder folder;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid");
  write_file(folder.path() + "/env", "# its secrets\nKEY='from the file'\nB=2\n", 0600);
  TestParams params(
      type(),
      own(folder, port, {{"env_file", folder.path() + "/env"}, {"env", {{"B", "3"}}}, {"version", "1.4.2"}}));
  TestCall call("app", own_run);
  auto step = type().make();
  Json outputs = step->apply(params, call);
  auto process = process_from(outputs["identity"].get<std::string>());
  REQUIRE(process);
  CHECK(alive(*process));
  CHECK(outputs["pid"] == process->pid);
  CHECK(outputs["version"] == "1.4.2");
  CHECK(proc_env(process->pid, "RELIGHT_TOKEN") == call.run() + "/app");
  CHECK(proc_env(process->pid, "KEY") == "from the file");
  CHECK(proc_env(process->pid, "B") == "3");
  CHECK(proc_env(process->pid, "HOME") == current_user().home);
  CHECK(strangers_on(port) == std::to_string(process->pid));
  CHECK(call.notes()["before"] == Json{{"running", false}});
  const std::string state = step->state_digest(params, call);
  CHECK(step->apply(params, call) == outputs);
  CHECK(step->state_digest(params, call) == state);
  Json checked;
  CHECK(step->check(params, call, checked) == Done::yes);
  CHECK(checked == outputs);

  step->undo(params, call, &outputs);
  CHECK_FALSE(alive(*process));
  CHECK(step->state_digest(params, call) != state);
  CHECK_FALSE(exists(folder.path() + "/pid"));
  CHECK(strangers_on(port).empty());
  step->undo(params, call, &outputs);
}

TEST_CASE("a service that ran before is left as it is, and so does undo") {
  TempFolder folder;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid");
  TestParams params(type(), own(folder, port));
  auto step = type().make();
  TestCall earlier("app", "another-run"), call("app", own_run);
  Json first = step->apply(params, earlier);
  call.preview_only = true;
  Preview preview = step->preview(params, call);
  CHECK(preview.verdict == Preview::Verdict::nothing_to_do);
  CHECK(preview.problems.empty());
  call.preview_only = false;
  Json second = step->apply(params, call);
  CHECK(first == second);
  CHECK(call.notes()["before"] == Json{{"running", true}});
  step->undo(params, call, &second);
  CHECK(alive(*process_from(first["identity"])));
}

TEST_CASE("one that was started by an attempt that died, its pid file lost, is found by its token") {
  TempFolder folder;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid");
  const std::string notes = folder.path() + "/notes", name = name_of_path(folder.path());
  TestParams params(type(), own(folder, port));
  auto step = type().make();
  REQUIRE(killed_at("service.start:started", [&] {
    DurableCall call(name, notes);
    step->apply(params, call);
  }));
  remove_file(folder.path() + "/pid");
  DurableCall call(name, notes);
  const std::string token = call.run() + "/" + call.step();
  Json outputs = step->apply(params, call);
  CHECK(with_token(token) == 1);
  CHECK(alive(*process_from(outputs["identity"])));
  step->undo(params, call, nullptr);
  CHECK(with_token(token) == 0);
}

TEST_CASE("a pid file that names a stranger is not believed") {
  TempFolder folder;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid");
  pid_t stranger = fork();
  if (stranger == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  write_file(folder.path() + "/pid", std::to_string(stranger) + "\n", 0644);
  timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
  REQUIRE(utimensat(AT_FDCWD, (folder.path() + "/pid").c_str(), long_ago, 0) == 0);
  TestParams params(type(), own(folder, port));
  TestCall call("app", own_run);
  auto step = type().make();
  Json nothing;
  CHECK(step->check(params, call, nothing) == Done::no);
  Json outputs = step->apply(params, call);
  CHECK(outputs["pid"] != stranger);
  step->undo(params, call, &outputs);
  CHECK(alive(process_now(stranger)));
  kill(stranger, SIGKILL);
  waitpid(stranger, nullptr, 0);
}

TEST_CASE("as another user, with an env file that is that user's alone") {
  TempFolder folder;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid");
  const User user = user_named("postgres");
  REQUIRE(chown(folder.path().c_str(), user.uid, user.gid) == 0);
  write_file(folder.path() + "/env", "KEY=value\n", 0600, Owner{user.uid, user.gid});
  TestParams params(type(), own(folder, port, {{"env_file", folder.path() + "/env"}}));
  pid_t worker = fork();
  if (worker == 0) {  // as the engine runs a step with `as`
    try {
      become(user);
      TestCall call("app", own_run);
      type().make()->apply(params, call);
      _exit(0);
    } catch (const std::exception& error) {
      dprintf(2, "%s\n", error.what());
      _exit(1);
    }
  }
  int status;
  waitpid(worker, &status, 0);
  REQUIRE(status == 0);
  int pid = std::stoi(read_file(folder.path() + "/pid"));
  struct stat info;
  REQUIRE(stat(("/proc/" + std::to_string(pid)).c_str(), &info) == 0);
  CHECK(info.st_uid == user.uid);
  CHECK(proc_env(pid, "HOME") == user.home);
  CHECK(proc_env(pid, "KEY") == "value");
}

TEST_CASE("a service that ends at once, or does not listen, is told with the end of its log") {
  TempFolder folder;
  EndAtExit end(folder.path() + "/pid");
  TestCall call("app", own_run);
  auto step = type().make();
  Json values = {{"command", {"/bin/sh", "-c", "echo cannot read the key; exit 1"}},
                 {"pid_file", folder.path() + "/pid"},
                 {"log", folder.path() + "/log"}};
  TestParams ends(type(), values.dump());
  Error error = error_of([&] { step->apply(ends, call); });
  CHECK(error.failed == "the service ended at once");
  CHECK(error.why == "its log ends with: cannot read the key");
  CHECK(error.kind == ErrorKind::permanent);

  const int port = free_port();
  values["command"] = {"/bin/sh", "-c", "echo still waking up; exec sleep 1000"};
  values["port"] = port;
  values["within"] = "200ms";
  TestParams mute(type(), values.dump());
  error = error_of([&] { step->apply(mute, call); });
  CHECK(std::string(error.what()) == "the service does not listen: port " + std::to_string(port) +
                                         ": not after 0.2s: its log ends with: still waking up");
  step->undo(mute, call, nullptr);
  CHECK(with_token(call.run() + "/app") == 0);
}

TEST_CASE("what a start lacks is a hint in the plan and a refusal before any effect") {
  TempFolder folder;
  const int port = free_port();
  struct Case {
    Json change;
    std::string what;
  };
  const std::string none = folder.path() + "/none/x";
  for (const Case& one : {Case{{{"command", {none}}}, "the program is missing"},
                          Case{{{"command", {"no-such-program"}}}, "the program is missing"},
                          Case{{{"command", {"/etc/passwd"}}}, "the program cannot be run"},
                          Case{{{"pid_file", none}}, "the folder of `pid_file` is missing"},
                          Case{{{"log", none}}, "the folder of `log` is missing"},
                          Case{{{"env_file", none}}, "the env file is missing"},
                          Case{{{"cwd", none}}, "the working folder is missing"}}) {
    CAPTURE(one.what);
    TestParams params(type(), own(folder, port, one.change));
    TestCall call("app", own_run);
    auto step = type().make();
    Error error = error_of([&] { step->apply(params, call); });
    CHECK(error.failed == one.what);
    CHECK(error.kind == ErrorKind::refused);
    CHECK(call.notes().empty());
    call.preview_only = true;
    Preview preview = step->preview(params, call);
    CHECK(preview.problems.empty());
    CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
    REQUIRE(preview.hints.size() == 1);
    CHECK(preview.hints[0].starts_with(one.what));
  }
}

TEST_CASE("a port that another process has is refused, and it is named") {
  TempFolder folder, other;
  const int port = free_port();
  EndAtExit end(folder.path() + "/pid"), end_other(other.path() + "/pid");
  TestCall call("app", own_run), other_call("other", own_run);
  auto step = type().make();
  TestParams first(type(), own(other, port)), second(type(), own(folder, port));
  Json holder = step->apply(first, other_call);
  Error error = error_of([&] { step->apply(second, call); });
  CHECK(error.failed == "the port is taken");
  CHECK(error.why ==
        "process " + holder["pid"].dump() + " (perl) listens on 127.0.0.1 port " + std::to_string(port));
}

TEST_CASE("what names no service, or two, or a unit where no systemd runs, is a problem of the plan") {
  struct NoSystemd : TestCall {
    using TestCall::TestCall;
    std::string place(const std::string& path) const override {
      return path == "/run/systemd/system" ? "/nowhere" : path;
    }
  };
  NoSystemd call("app", own_run);
  call.preview_only = true;
  auto step = type().make();
  auto problem = [&](const std::string& values) {
    TestParams params(type(), values);
    Preview preview = step->preview(params, call);
    REQUIRE(preview.problems.size() == 1);
    return preview.problems[0].on + ": " + preview.problems[0].why + "; " + preview.problems[0].hint;
  };
  CHECK(problem(R"({"unit": "aihummer"})") ==
        "aihummer: systemd does not run on this host; give `command` and `pid_file` in place of `unit`");
  CHECK(problem(R"({"unit": "postgresql.service"})") ==
        "postgresql: systemd does not run on this host; name the cluster: unit = \"postgresql@15-main\"");
  CHECK(problem(R"({"unit": "a", "pid_file": "/run/a.pid"})") ==
        "a: `unit` and `pid_file` or `command` are given; give `unit`, `via`, or `command` and `pid_file` "
        "where no "
        "systemd runs it");
  CHECK(problem(R"({"command": ["/bin/x"], "pid_file": "/run/x.pid", "enable": true})") ==
        "the service of /run/x.pid: no systemd runs it; leave `enable` out, and see to its start at boot "
        "yourself");
  CHECK(problem(R"({"command": ["/bin/x"]})") ==
        "app: no `pid_file` is given; give `unit`, `via`, or `command` and `pid_file` where no systemd runs "
        "it");
  CHECK(problem(R"({"pid_file": "/run/no-such.pid"})") ==
        "the service of /run/no-such.pid: no `command` is given; give the service's program: command = { "
        "\"/path/of/program\" }");
}

TEST_CASE("a unit of systemd is started, adopted and stopped by systemctl") {
  StandInSystemd systemd;
  SystemdCall call(systemd, "app");
  TestParams params(type(), R"({"unit": "aihummer.service"})");
  auto step = type().make();
  CHECK(step->targets(params) == std::vector<std::string>{"unit:aihummer"});
  CHECK(error_of([&] { step->apply(params, call); }).failed == "no such unit");
  systemd.add("aihummer", "exec sleep 1000");
  const std::string stopped = step->state_digest(params, call);
  Json outputs = step->apply(params, call);
  CHECK(alive(*process_from(outputs["identity"])));
  CHECK(systemd.calls().find("daemon-reload") != std::string::npos);
  CHECK(step->apply(params, call) == outputs);
  step->undo(params, call, &outputs);
  CHECK_FALSE(alive(*process_from(outputs["identity"])));
  CHECK(step->state_digest(params, call) == stopped);
  systemd.add("broken", "exit 1");
  TestParams broken(type(), R"({"unit": "broken"})");
  TestCall fresh("broken");
  SystemdCall broken_call(systemd, "broken");
  Error error = error_of([&] { step->apply(broken, broken_call); });
  CHECK(std::string(error.what()).starts_with("cannot start: unit broken: systemctl exited with 1"));
}

TEST_CASE("a PostgreSQL cluster of Debian's is started and stopped by its unit's name") {
  DebianCluster cluster;
  TestCall call("db");
  TestParams params(type(), Json{{"unit", cluster.unit()}}.dump());
  auto step = type().make();
  Json outputs = step->apply(params, call);
  auto process = process_from(outputs["identity"]);
  REQUIRE(process);
  CHECK(read_file("/proc/" + std::to_string(process->pid) + "/comm") == "postgres\n");
  CHECK(proc_stat(process->pid)->parent != getpid());
  CHECK(step->apply(params, call) == outputs);
  step->undo(params, call, &outputs);
  CHECK_FALSE(alive(*process));

  write_file(cluster.config() + "/postgresql.conf",
             read_file(cluster.config() + "/postgresql.conf") + "\nno_such_setting = 1\n", 0644);
  Error error = error_of([&] { step->apply(params, call); });
  CHECK(error.failed == "cannot start");
  CHECK(error.why.find("no_such_setting") != std::string::npos);
  TestParams absent(type(), R"({"unit": "postgresql@15-no-such"})");
  CHECK(error_of([&] { step->apply(absent, call); }).failed == "no such cluster");
}
