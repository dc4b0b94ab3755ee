// The client's steps on a server in a container: they reach it there, by the programs of its image.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/crash.h"
#include "tests/support/docker_postgres.h"
#include "tests/support/volume_step.h"

using namespace relight;

namespace {

using namespace std::chrono_literals;

const PostgresInDocker* bench() {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return nullptr;
  static const PostgresInDocker bench;
  static const bool up = [] {
    bench.up();
    bench.sql("create database ember");
    bench.sql("create table notes as select i, 'note ' || i as body from generate_series(1, 200) i", "ember");
    return true;
  }();
  static_cast<void>(up);
  return &bench;
}

TestParams params(const std::string& type, const Json& more) {
  Json all = bench()->reached();
  all.update(more);
  return {type_named(type), all.dump()};
}

Json applied(const std::string& type, const Json& more) {
  static int number = 0;
  TestCall call("step", "20261121-102600-" + std::to_string(++number));
  return type_named(type).make()->apply(params(type, more), call);
}

std::string problem_of(const std::string& type, const Json& more) {
  TestCall call;
  call.preview_only = true;
  const Preview preview = type_named(type).make()->preview(params(type, more), call);
  if (preview.problems.empty()) return "";
  return preview.problems[0].what + ": " + preview.problems[0].on + ": " + preview.problems[0].why;
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK(status.st_uid == geteuid());
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("a database in a container is dumped, checked and restored by the programs of its image") {
  if (bench() == nullptr) return;
  const sys::TempFolder folder;
  const std::string file = folder.path() + "/a, \"b\"/ember.dump", tree = folder.path() + "/tree";
  const Json dump = {{"database", "ember"}, {"into", file}};
  CHECK(problem_of("postgres.dump", dump) == "");
  CHECK_FALSE(sys::exists(file));
  CHECK(applied("postgres.dump", dump)["rows"]["public.notes"] == 200);
  CHECK(mode_of(file) == 0600);
  applied("postgres.dump", {{"database", "ember"}, {"into", tree}, {"format", "directory"}, {"jobs", 2}});
  CHECK(mode_of(tree) == 0700);

  for (const std::string& from : {file, tree}) {
    bench()->sql("drop table notes", "ember");
    const Json outputs = applied("postgres.restore", {{"database", "ember"}, {"dump", from}});
    CHECK(outputs["tables"] == 1);
    CHECK(bench()->sql("select count(*) from notes", "ember") == "200");
    bench()->sql("drop database \"" +
                 bench()->sql("select datname from pg_database where datname like '%relight%'") + "\"");
  }
  sys::write_file(folder.path() + "/plain.sql",
                  "create table notes (i int);\ninsert into notes values (7);\n", 0600);
  applied("postgres.restore", {{"database", "other"}, {"dump", folder.path() + "/plain.sql"}});
  CHECK(bench()->sql("select i from notes", "other") == "7");

  const Json sound = {{"database", "dbname=ember user=app"}, {"depth", "full"}};
  const StepType& check = type_named("postgres.check");
  Json all = bench()->reached();
  all.erase("server");
  all.update(sound);
  TestCall call;
  CHECK(check.make()->apply(TestParams(check, all.dump()), call)["tables"] > 0);
  CHECK(containers_of_steps() == "");
}

TEST_CASE("a base backup of a cluster in a container is taken by the programs of its image") {
  if (bench() == nullptr) return;
  const sys::TempFolder folder;
  const std::string into = folder.path() + "/base";
  const Json outputs = applied("postgres.base_backup", {{"into", into}});
  CHECK(outputs["protected"] == true);
  CHECK(mode_of(into) == 0700);
  CHECK(mode_of(into + "/base.tar.zst") == 0600);
  CHECK(
      problem_of("postgres.base_backup",
                 {{"into", folder.path() + "/two"}, {"config_into", folder.path() + "/etc"}}) ==
      "cannot copy the configuration: config_into: it lies in the container, and is no folder of this host");
}

// Until it is let go, pg_dump waits for the table.
struct Locked {
  Locked()
      : holder("host=" + bench()->address() + " user=app password=" + bench()->password,
               {{"dbname", "ember"}}) {
    holder.execute("begin; lock table notes");
  }
  sys::Sql holder;
};

TEST_CASE("a program in an image does not outlive its step, and tells nobody the password") {
  if (bench() == nullptr) return;
  const sys::TempFolder folder;
  const StepType& type = type_named("postgres.dump");
  const auto given = params("postgres.dump", {{"database", "ember"}, {"into", folder.path() + "/dump"}});
  const std::string notes = folder.path() + "/notes";
  const auto waits = [&] {
    return sys::wait_until(30s, 50ms, {}, [] {
      return bench()->sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "1";
    });
  };

  {  // It is told to stop.
    const Locked locked;
    DurableCall call("dump", notes);
    std::thread stopper([&] {
      CHECK(waits());
      call.stop = true;
    });
    CHECK_THROWS_AS(type.make()->apply(given, call), Stopped);
    stopper.join();
    CHECK(containers_of_steps() == "");
  }

  const Locked locked;
  const pid_t relight = fork();
  if (relight == 0) {
    DurableCall call("dump", notes);
    try {
      type.make()->apply(given, call);
    } catch (...) {
    }
    _exit(0);
  }
  REQUIRE(waits());
  // Neither the engine nor a list of processes knows it.
  CHECK(DockerEngine::get()->docker({"inspect", containers_of_steps()}).find("hunter2") == std::string::npos);
  for (const sys::ProcStat& stat : sys::proc_all())
    CHECK(sys::read_file_if_there("/proc/" + std::to_string(stat.process.pid) + "/cmdline")
              .value_or("")
              .find("hunter2") == std::string::npos);
  kill(relight, SIGKILL);
  waitpid(relight, nullptr, 0);
  CHECK(containers_of_steps() != "");  // it runs on

  DurableCall call("dump", notes);
  type.make()->settle(given, call);
  CHECK(containers_of_steps() == "");
  CHECK(bench()->sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "0");
}
