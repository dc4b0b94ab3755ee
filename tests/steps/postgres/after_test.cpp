// What a recovery leaves behind, and what can be done with it: a cluster that archives anew, is backed up,
// and is recovered again.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "runner/step/step.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/settings.h"
#include "tests/support/recovery.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// A recovered cluster, started as its own settings have it but for its address.
class Started {
 public:
  explicit Started(const std::string& data) : data_(data) {
    give_to_postgres(sockets_.path());
    pg_ctl(
        {"-o", "-c listen_addresses='' -c port=5432 -c unix_socket_directories=" + sockets_.path(), "start"});
  }
  ~Started() { pg_ctl({"-m", "fast", "stop"}); }
  std::string value(const std::string& sql) const { return sys::Sql(conninfo()).query(sql).one(); }
  void execute(const std::string& sql) const { sys::Sql(conninfo()).execute(sql); }
  std::string conninfo() const {
    return "host=" + sockets_.path() + " port=5432 user=postgres dbname=postgres";
  }

  void base_backup(const std::string& into) const {
    sys::Command command;
    command.argv = {Postgres::program("pg_basebackup"), "-d", conninfo(), "-D", into, "-c", "fast"};
    command.as = "postgres";
    command.cwd = "/";
    sys::output_of(command, "cannot take a base backup");
  }
  // Ends the segment at hand; returns when all is archived.
  void archive() const {
    const std::string last = value("select pg_walfile_name(pg_switch_wal())");
    REQUIRE(sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(20), {}, [&] {
      return value("select coalesce(max(last_archived_wal), '') >= '" + last + "' from pg_stat_archiver") ==
             "t";
    }));
  }

 private:
  void pg_ctl(const std::vector<std::string>& arguments) const {
    sys::Command command;
    command.argv = {Postgres::program("pg_ctl"), "-D", data_, "-w", "-s", "-l", sockets_.path() + "/log"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.as = "postgres";
    command.cwd = "/";
    sys::output_of(command, "cannot run pg_ctl");
  }
  const std::string data_;
  const sys::TempFolder sockets_;
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a recovered cluster is backed up and recovered, twice in a row") {
  Source source;
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const sys::TempFolder places;
  give_to_postgres(places.path());
  std::string base = source.base, wal = source.server.archive_folder(), rows = "1";
  for (int round = 1; round <= 3; ++round) {
    CAPTURE(round);
    const std::string next = places.path() + "/it's 100% new " + std::to_string(round);
    const RecoverAttempt attempt({{"base", base}, {"wal", {wal}}, {"archive_into", next + "/wal"}},
                                 "20261121-10260" + std::to_string(round) + "-test");
    const Outcome plan = attempt.preview();
    REQUIRE(plan.value["problems"] == Json::array());
    CHECK_FALSE(sys::exists(next));
    const Outcome done = attempt.apply();
    REQUIRE(done.error == "");
    CHECK(done.value["timeline"] == round + 1);
    // Nothing steers the next recovery.
    for (const char* left : {"recovery.signal", "standby.signal", "backup_label", "relight.work"})
      CHECK_FALSE(sys::exists(attempt.data() + "/" + left));
    const std::string settings = sys::read_file(attempt.data() + "/postgresql.auto.conf");
    for (const char* steers : {"recovery_target", "restore_command", "primary_conninfo"})
      CHECK_FALSE(holds(settings, steers));
    const Started server(attempt.data());
    CHECK(server.value("select string_agg(i::text, ' ' order by i) from t") == rows);
    CHECK(server.value("show archive_mode") == "on");
    server.base_backup(next + "/base");
    server.execute("insert into t values (" + std::to_string(round + 1) + ")");
    rows += " " + std::to_string(round + 1);
    server.archive();
    CHECK(sys::exists(next + "/wal/0000000" + std::to_string(round + 1) + ".history"));
    CHECK(server.value("select failed_count from pg_stat_archiver") == "0");
    base = next + "/base";
    wal = next + "/wal";
  }
}

TEST_CASE("settings of an earlier recovery are put out of force") {
  Source source({}, "alter system set recovery_target_name = 'yesterday'");
  source.server.execute("alter system set restore_command = 'cp /no/such/archive/%f %p'");
  std::filesystem::remove_all(source.base);
  source.server.base_backup(source.base);
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const RecoverAttempt attempt({{"base", source.base}, {"wal", {source.server.archive_folder()}}});
  REQUIRE(attempt.apply().error == "");
  for (const std::string& line : sys::split(sys::read_file(attempt.data() + "/postgresql.auto.conf"), '\n'))
    if (holds(line, "recovery_target") || holds(line, "restore_command"))
      CHECK(line.starts_with("# put out of force by relight: "));
  CHECK(rows_of(attempt.data()) == "1");
}

TEST_CASE("a place that holds anything is no place for a new archive") {
  Source source;
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const auto problems = [&](const std::string& into) {
    const RecoverAttempt attempt(
        {{"base", source.base}, {"wal", {source.server.archive_folder()}}, {"archive_into", into}});
    const std::string told = attempt.preview().value["problems"].dump();
    if (told != "[]") {
      CHECK(attempt.apply().error != "");
      CHECK_FALSE(sys::exists(attempt.data()));
    }
    return told;
  };
  const std::string before = sys::tree_digest(source.server.archive_folder());
  CHECK(holds(problems(source.server.archive_folder()),
              "it holds WAL of another cluster or timeline: 00000001000000000000"));
  CHECK(sys::tree_digest(source.server.archive_folder()) == before);
  const sys::TempFolder folder;
  CHECK(holds(problems(folder.path()), "it is not writable for postgres"));
  // One that an earlier step may make is no fault of the plan, and is refused before anything is done.
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const RecoverAttempt later({{"base", source.base},
                              {"wal", {source.server.archive_folder()}},
                              {"archive_into", folder.path() + "/new/wal"}});
  const Outcome plan = later.preview();
  CHECK(plan.value["problems"] == Json::array());
  CHECK(plan.value["verdict"] == "cannot_yet_tell");
  CHECK(holds(plan.value["hints"].dump(), "cannot make the folder of the archive " + folder.path()));
  const Outcome refused = later.apply("postgres.recover:decided");
  CHECK_FALSE(refused.killed);
  CHECK(refused.error.find("cannot make the folder of the archive") == 0);
  give_to_postgres(folder.path());
  CHECK(problems(folder.path()) == "[]");
  sys::write_file(folder.path() + "/notes", "", 0644);
  CHECK(holds(problems(folder.path()), "it is not empty: it holds notes"));
}

TEST_CASE("an undo takes the new archive's folder away, less what was archived") {
  Source source;
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const sys::TempFolder folder;
  give_to_postgres(folder.path());
  const RecoverAttempt attempt({{"base", source.base},
                                {"wal", {source.server.archive_folder()}},
                                {"archive_into", folder.path() + "/a/wal"}});
  REQUIRE(attempt.apply().error == "");
  CHECK(sys::exists(folder.path() + "/a/wal"));
  REQUIRE(attempt.undo().error == "");
  CHECK_FALSE(sys::exists(folder.path() + "/a"));
}

TEST_CASE("what was said of archiving gives way to the new place") {
  CHECK(postgres::with_archive("port = 1\nARCHIVE_mode = off\narchive_library = 'x'\n", "/a/b%'c")
            .find("port = '1'") == std::string::npos);
  const std::string text =
      postgres::with_archive("port = 1\nARCHIVE_mode = off\narchive_library = 'x'\n", "/a");
  CHECK(text.starts_with("port = 1\narchive_mode = 'on'\narchive_command = 'cmp -s %p ''/a''/%f || "));
}

TEST_CASE("what was lost is exact with a heartbeat, and a range without") {
  Source source({"--format=tar"},
                "create schema ops; create table ops.heartbeat (at timestamptz); insert into ops.heartbeat "
                "values (now())");
  source.server.execute("update ops.heartbeat set at = '2026-11-21 11:26:00.5+01'");
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  Json params = {{"base", source.base},
                 {"wal", {source.server.archive_folder()}},
                 {"lost_at", "2026-11-21T10:26:30Z"},
                 {"heartbeat", "ops.heartbeat.at"}};
  const Outcome exact = RecoverAttempt(params).apply();
  REQUIRE(exact.error == "");
  CHECK(exact.value["heartbeat"] == "2026-11-21T10:26:00.500000Z");
  CHECK(exact.value["rpo_seconds"] == 29.5);
  CHECK(exact.value["rpo_at_least_seconds"] == 29.5);
  // A misspelt one costs the figure, and not the recovery.
  params["heartbeat"] = "ops.heartbeat.att";
  const Outcome range = RecoverAttempt(params).apply();
  REQUIRE(range.error == "");
  CHECK(range.value["heartbeat"] == nullptr);
  CHECK(range.value["rpo_at_least_seconds"] == 0.0);
  params["heartbeat"] = "heartbeat";
  CHECK(RecoverAttempt(params).preview().value["problems"].dump().find("it is not SCHEMA.TABLE.COLUMN") !=
        std::string::npos);
}
