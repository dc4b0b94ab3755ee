#include "runner/sys/launch.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;

namespace {

struct Service {
  ProcessId process;
  ~Service() { signal_process(process, SIGKILL); }
};

Launch sleeper(const std::string& script = "") {
  Launch launch;
  launch.argv = {"/bin/sh", "-c", script + " exec sleep 1000"};
  launch.env = {{"PATH", "/bin:/usr/bin"}, {"NAME", "value"}};
  return launch;
}

Error error_of(const Launch& wanted) {
  try {
    launch(wanted);
  } catch (const Error& error) {
    return error;
  }
  FAIL("it was launched");
  std::abort();
}

}  // namespace

TEST_CASE(
    "a launched service is no child of ours, with a session, an environment and descriptors of its own") {
  TempFolder folder;
  Fd inherited(dup(1));  // without CLOEXEC
  Launch wanted = sleeper("echo ready; readlink /proc/$$/fd/0;");
  wanted.log = folder.path() + "/log";
  wanted.pid_file = folder.path() + "/pid";
  Service service{launch(wanted)};
  CHECK(alive(service.process));
  auto stat = proc_stat(service.process.pid);
  REQUIRE(stat);
  CHECK(stat->parent != getpid());
  CHECK(stat->session == service.process.pid);
  CHECK(proc_env(service.process.pid, "NAME") == "value");
  CHECK_FALSE(proc_env(service.process.pid, "HOME"));
  CHECK(read_file(wanted.pid_file) == std::to_string(service.process.pid) + "\n");
  // Its loader has a library open, now and then.
  CHECK(wait_until(5s, 5ms, {}, [&] {
    std::string entries;
    for (const std::string& name : names_in("/proc/" + std::to_string(service.process.pid) + "/fd"))
      entries += name;
    return entries == "012";
  }));
  REQUIRE(wait_until(5s, 5ms, {}, [&] { return read_file(wanted.log) == "ready\n/dev/null\n"; }));
  struct stat info;
  REQUIRE(::stat(wanted.log.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
  CHECK(read_file("/proc/" + std::to_string(service.process.pid) + "/cwd/etc/hostname") ==
        read_file("/etc/hostname"));
}

TEST_CASE("a service of another user owns its log and pid file; an older log is appended to") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Launch wanted = sleeper("id -un;");
  wanted.as = "postgres";
  wanted.log = folder.path() + "/log";
  wanted.pid_file = folder.path() + "/pid";
  for (int round = 1; round <= 2; ++round) {
    Service service{launch(wanted)};
    std::string expected = round == 1 ? "postgres\n" : "postgres\npostgres\n";
    CHECK(wait_until(5s, 5ms, {}, [&] { return read_file(wanted.log) == expected; }));
  }
  for (const std::string& path : {wanted.log, wanted.pid_file}) {
    struct stat info;
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK(info.st_uid == user_named("postgres").uid);
  }
}

TEST_CASE("what cannot be launched says why, and leaves no pid file") {
  TempFolder folder;
  Launch wanted = sleeper();
  wanted.argv = {"/no/such/program"};
  wanted.pid_file = folder.path() + "/pid";
  CHECK(std::string(error_of(wanted).what()) == "cannot start: /no/such/program: No such file or directory");
  CHECK_FALSE(exists(wanted.pid_file));
  wanted = sleeper();
  wanted.pid_file = folder.path() + "/none/pid";
  CHECK(error_of(wanted).failed == "cannot write the pid file");
  wanted = sleeper();
  wanted.log = folder.path() + "/none/log";
  CHECK(error_of(wanted).failed == "cannot make the log");
  REQUIRE(symlink("/etc/passwd", (folder.path() + "/link").c_str()) == 0);
  wanted.log = folder.path() + "/link";
  CHECK(error_of(wanted).failed == "cannot open the log");
  wanted = sleeper();
  wanted.cwd = "/no/such";
  CHECK(error_of(wanted).why == "folder /no/such: No such file or directory");
}

TEST_CASE("the program is looked for in the PATH that it gets") {
  TempFolder folder;
  write_file(folder.path() + "/my-service", "#!/bin/sh\nexec sleep 1000\n", 0755);
  Launch wanted = sleeper();
  wanted.argv = {"my-service"};
  CHECK(error_of(wanted).why == "not found in PATH");
  wanted.env["PATH"] = folder.path() + ":/bin:/usr/bin";
  Service service{launch(wanted)};
  CHECK(alive(service.process));
}

TEST_CASE("core files are allowed again, as far as the hard limit goes") {
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_CORE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(1, before.rlim_max);
  REQUIRE(setrlimit(RLIMIT_CORE, &low) == 0);
  Service service{launch(sleeper())};
  REQUIRE(setrlimit(RLIMIT_CORE, &before) == 0);
  rlimit its;
  REQUIRE(prlimit(service.process.pid, RLIMIT_CORE, nullptr, &its) == 0);
  CHECK(its.rlim_cur == before.rlim_max);
}
