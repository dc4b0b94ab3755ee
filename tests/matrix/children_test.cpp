// Killed while children run that a process group does not hold: a daemon of another user, dpkg, pg_restore's
// workers and backends, a server that replays WAL. The resume ends or adopts every one of them before it goes
// on. (What a shell leaves is tried in tests/engine/crash_test.cpp.)
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <sstream>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/wait.h"
#include "tests/matrix/case.h"
#include "tests/support/debian.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

enum class Killed { relight, with_keeper, with_workers };
constexpr Killed every_way[] = {Killed::relight, Killed::with_keeper, Killed::with_workers};

bool until(const std::function<bool()>& done) {
  return sys::wait_until(std::chrono::minutes(2), std::chrono::milliseconds(5), {}, done);
}

// A run whose step has a child at work, which goes on only when the file `go` is there and tells its pid in
// the file `pids`, a line each time that it is started.
struct InFlight : Bench {
  InFlight() { REQUIRE(chmod(path().c_str(), 0777) == 0); }

  std::vector<int> told() const {
    std::vector<int> pids;
    std::istringstream lines(read("pids"));
    for (int pid; lines >> pid;) pids.push_back(pid);
    return pids;
  }

  void begin(const std::string& book) {
    write("book.lua", book);
    pid_ = start({"run", file("book.lua"), "--set", "dir=" + path()});
  }

  void kill_it(Killed how) {
    std::vector<int> victims = {pid_};
    for (const sys::ProcStat& stat : sys::descendants_of(sys::proc_all(), {pid_})) {
      left_.push_back(stat.process);
      const std::string name =
          sys::read_file_if_there("/proc/" + std::to_string(stat.process.pid) + "/comm").value_or("");
      if ((name == "relight-keeper\n" && how != Killed::relight) ||
          (name == "relight-worker\n" && how == Killed::with_workers))
        victims.push_back(stat.process.pid);
    }
    for (const int victim : victims) kill(victim, SIGSTOP);
    for (const int victim : victims) kill(victim, SIGKILL);
    CHECK(wait_for_exit(pid_) == 128 + SIGKILL);
  }

  // Gone on with until the child is at work once more, which is when nothing of the first may be alive.
  void resume_until(const std::function<bool()>& at_work) {
    pid_ = start({"resume"});
    INFO(read("started.out"));
    REQUIRE(until(at_work));
    for (const sys::ProcessId& one : left_)
      CHECK_MESSAGE(!sys::alive(one), "process " << one.pid << " of the first attempt is alive");
  }

  void end_well() {
    write("go", "");
    const int exit = wait_for_exit(pid_);
    INFO(read("started.out"));
    CHECK(exit == 0);
  }

 private:
  int pid_ = 0;
  std::vector<sys::ProcessId> left_;
};

}  // namespace

TEST_CASE("a child of another user, and a daemon that it left, are ended before the step is touched again") {
  if (!in_own_mounts()) return;
  for (const Killed how : every_way) {
    InFlight run;
    run.write("work", R"(#!/bin/sh
# The daemon: a session of its own, no descriptor of ours.
perl -e 'use POSIX; fork and exit; POSIX::setsid(); POSIX::close($_) for 0..255;
         open(F, ">>pids"); print F "$$\n"; close F; sleep 600 while ! -e "go"'
id -un >> users
echo $$ >> pids
while [ ! -e go ]; do sleep 0.01; done
)",
              0755);
    run.begin(R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
shell.run "work" { command = { input.dir / "work" }, cwd = input.dir, as = "postgres", in_doubt = "again" }
)");
    REQUIRE(until([&] { return run.told().size() == 2; }));
    const std::vector<int> first = run.told();
    run.kill_it(how);
    run.resume_until([&] { return run.told().size() == 4; });
    for (const int pid : first) CHECK_FALSE(sys::alive(sys::process_now(pid)));
    run.end_well();
    CHECK(run.read("users") == "postgres\npostgres\n");
  }
}

TEST_CASE("pg_restore and its backends are ended before the database is touched again") {
  if (!in_own_mounts()) return;
  const Postgres server;
  for (const Killed how : every_way) {
    InFlight run;
    server.execute("drop database if exists ember");
    server.execute("create database ember");
    // Each row of an index waits for the file `go`.
    server.execute(
        "create function slow(i int) returns int immutable language plpgsql as $$ begin "
        "while (pg_stat_file('" +
            run.file("go") +
            "', true)).size is null loop perform pg_sleep(0.01); end loop; return i; end $$;"
            "create table a (i int); create table b (i int); insert into a values (1);"
            "insert into b values (2)",
        "ember");
    run.write("go", "");
    server.execute("create index on a (slow(i)); create index on b (slow(i))", "ember");
    server.run("pg_dump", {"--format=custom", "--file=" + run.file("dump"), "ember"});
    sys::remove_file(run.file("go"));

    const auto backends = [&] {
      return sys::Sql(server.connect())
          .query(
              "select pid::text from pg_stat_activity where query ilike 'create index%' and state = 'active'")
          .rows;
    };
    run.begin(R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
postgres.restore "database" { dump = input.dir / "dump", database = "ember", server = ")" +
              server.conninfo() + R"(", jobs = 2, as = "postgres" }
)");
    INFO(run.read("started.out"));
    REQUIRE(until([&] { return backends().size() == 2; }));
    const auto first = backends();
    run.kill_it(how);
    run.resume_until([&] {
      const auto now = backends();
      return now.size() == 2 && now != first;
    });
    for (const auto& old : first)
      for (const auto& now : backends()) CHECK(old[0] != now[0]);
    run.end_well();
    CHECK(server.value("select count(*) from a", "ember") == "1");
    CHECK(server.value("select count(*) from pg_database where datname like '%relight%' and datallowconn") ==
          "0");
  }
}

TEST_CASE("dpkg and the script of a package are ended before packages are touched again") {
  if (!in_own_mounts()) return;
  for (const Killed how : every_way) {
    InFlight run;
    Debian debian;
    // What guards the host while packages are installed is no part of the test's own Debian.
    sys::TempFolder layer("/dev/shm");
    std::vector<std::string> covered;
    for (const std::string folder : {"/usr/sbin", "/etc/postgresql-common"}) {
      if (!sys::is_folder(folder)) continue;
      const std::string upper = layer.path() + "/" + std::to_string(covered.size());
      sys::make_folders(upper + "/upper");
      sys::make_folders(upper + "/work");
      REQUIRE(
          mount(
              "overlay", folder.c_str(), "overlay", 0,
              ("lowerdir=" + folder + ",upperdir=" + upper + "/upper,workdir=" + upper + "/work").c_str()) ==
          0);
      covered.push_back(folder);
    }
    debian.add(
        "lamp", "1.0", "",
        "cd " + run.path() + "; echo $$ >> pids; while [ ! -e go ]; do sleep 0.01; done; echo lit >> done\n");
    debian.update();
    run.begin(
        "runbook \"book\" {}\nlocal input = inputs { dir = { doc = \"where\", type = \"path\" } }\n"
        "host.packages \"packages\" { install = { lamp = \"*\" } }\n");
    REQUIRE(until([&] { return run.told().size() == 1; }));
    run.kill_it(how);
    run.resume_until([&] { return run.told().size() == 2; });
    CHECK_FALSE(sys::alive(sys::process_now(run.told()[0])));
    run.end_well();
    CHECK(run.read("done") == "lit\n");
    CHECK(debian.there() == "lamp 1.0");
    for (const std::string& folder : covered) umount2(folder.c_str(), MNT_DETACH);
  }
}

TEST_CASE("a server that replays WAL is adopted or ended before the cluster is touched again") {
  if (!in_own_mounts()) return;
  Source source;
  for (int i = 1; i <= 3; ++i) source.insert(i);
  source.server.archive_now();
  for (const char* point :
       {"postgres.recover:started", "postgres.recover:reached", "postgres.recover:promoted"})
    for (const Killed how : every_way) {
      CAPTURE(point);
      sys::TempFolder folder;
      const std::string data = folder.path() + "/data", book = folder.path() + "/book.lua";
      sys::write_file(book,
                      "runbook \"book\" {}\npostgres.recover \"database\" { base = \"" + source.base +
                          "\", wal = { \"" + source.server.archive_folder() + "\" }, data = \"" + data +
                          "\", as = \"postgres\" }\n",
                      0644);
      give_to_postgres(folder.path());
      Crashing crashing;
      std::string told;
      const auto go = [&](std::vector<std::string> args, const Crash& crash,
                          const std::vector<sys::ProcStat>& earlier) {
        crashing.expect(crash, {}, earlier);
        sys::Command command;
        command.argv = {crashing_program(), "--state", folder.path() + "/state"};
        command.argv.insert(command.argv.end(), args.begin(), args.end());
        command.extra_env[crash_variable] = crashing.path();
        command.on_output = [&](std::string_view bytes) { told += bytes; };
        command.stop = [&] {
          crashing.strike_if_asked();
          return false;
        };
        const sys::Result result = sys::run(command);
        told += result.out;
        return result.exit_code;
      };
      std::uint32_t victims = CrashFile::relight;
      if (how != Killed::relight) victims |= CrashFile::keeper;
      if (how == Killed::with_workers) victims |= CrashFile::passer;
      const int killed =
          go({"run", book}, {.kind = CrashFile::Kind::kill, .name = point, .victims = victims}, {});
      INFO(told);
      REQUIRE(killed == 128 + SIGKILL);
      const int resumed = go({"resume"}, {}, crashing.alive());
      CHECK(resumed == 0);
      CHECK(crashing.outlived() == "");
      CHECK(crashing.alive().empty());
      CHECK(rows_of(data) == "1 2 3");
    }
}
