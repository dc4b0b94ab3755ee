#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/step/step.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "tests/support/recovery.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// Rows 1 to 3, a named point, rows 4 to 6 in a later segment, and a table with a heartbeat.
struct Life {
  Source source;
  std::string archive, third;

  Life() : archive(source.server.archive_folder()) {
    for (int i = 1; i <= 3; ++i) source.insert(i);
    third = source.now();
    source.server.execute("select pg_create_restore_point('three')");
    source.insert(4);
    source.server.archive_now();
    source.insert(5);
    source.insert(6);
    source.server.archive_now();
    source.server.stop();
  }

  Json wanted(const std::string& to = "latest") const {
    return {{"base", source.base}, {"wal", {archive}}, {"to", to}, {"action", "pause"}};
  }
};

const Life& life() {
  static const Life one;
  return one;
}

// A step that brings a copy up, and whose server ends with the test.
struct CopyAttempt : RecoverAttempt {
  explicit CopyAttempt(const Json& params) : RecoverAttempt(params) {}
  ~CopyAttempt() { end_copy(data()); }
};

bool refuses_to_write(const std::string& url) {
  try {
    sys::Sql(url).execute("insert into t values (99)");
    return false;
  } catch (const sys::SqlError& error) {
    return error.sqlstate == "25006";  // read only
  }
}

}  // namespace

TEST_CASE("a copy is held at its moment, read-only, by a quiet server of its own") {
  const CopyAttempt attempt(life().wanted("name:three"));
  const Outcome plan = attempt.preview();
  REQUIRE(plan.error == "");
  REQUIRE(plan.value["problems"] == Json::array());
  CHECK(plan.value["summary"].get<std::string>().find("hold it there, read-only, at " + attempt.data()) !=
        std::string::npos);
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  const std::string url = done.value["url"];
  CHECK(rows_of_copy(url) == "1 2 3");
  CHECK(refuses_to_write(url));
  CHECK(done.value["timeline"] == 1);
  CHECK(done.value["protected"] == nullptr);
  CHECK(done.value["last_commit"].is_string());
  sys::Sql sql(url);
  CHECK(sql.query("select pg_last_wal_replay_lsn()").one() == done.value["lsn"]);
  for (const auto& [setting, value] : {std::pair{"listen_addresses", ""},
                                       {"archive_mode", "off"},
                                       {"max_logical_replication_workers", "0"},
                                       {"shared_preload_libraries", ""},
                                       {"primary_conninfo", ""}})
    CHECK(sql.query(std::string("show ") + setting).one() == value);
  // Nobody but its own user comes as far as the socket.
  struct stat info {};
  REQUIRE(stat((attempt.data() + "/relight.work").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a copy's server is adopted and never started twice, and an undo takes it all away") {
  const CopyAttempt attempt(life().wanted());
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  const std::string server = server_of_copy(attempt.data(), true);
  CHECK(server != "");
  CHECK(attempt.apply().value == done.value);
  CHECK(server_of_copy(attempt.data(), true) == server);
  CHECK(attempt.check().value == Json{{"done", true}, {"outputs", done.value}});
  // One that has ended is started again, at the same moment.
  end_copy(attempt.data());
  CHECK(attempt.check().value["done"] == false);
  CHECK(attempt.apply().value == done.value);
  CHECK(rows_of_copy(done.value["url"]) == "1 2 3 4 5 6");
  REQUIRE(attempt.undo().error == "");
  CHECK(server_of_copy(attempt.data()) == "");
  CHECK_FALSE(sys::exists(attempt.data()));
}

TEST_CASE("a copy whose goal is the end of a server's life is found again at each start") {
  Source source;
  source.insert(1);
  for (int i = 0; i < 9; ++i) source.server.archive_now();  // a replay of so many is stopped cleanly
  source.server.stop();                                     // its last record is a checkpoint at shutdown
  source.server.start();
  source.insert(2);
  source.server.archive_now();
  source.server.stop();
  std::string shutdown;
  {
    const std::string waldump = Postgres::program("pg_waldump");
    sys::Command command;
    command.argv = {"/bin/sh", "-c",
                    waldump + " -p " + source.server.archive_folder() + " -r XLOG $(ls " +
                        source.server.archive_folder() + " | grep -v backup | head -1) $(ls " +
                        source.server.archive_folder() +
                        " | grep -v backup | tail -1) | sed -n 's/.*lsn: "
                        "\\([^,]*\\),.*CHECKPOINT_SHUTDOWN.*/\\1/p' | tail -1"};
    shutdown = sys::trim(sys::output_of(command, "cannot list the WAL"));
  }
  REQUIRE(shutdown != "");
  Json params = {{"base", source.base},
                 {"wal", {source.server.archive_folder()}},
                 {"to", "lsn:" + shutdown},
                 {"action", "pause"}};
  const CopyAttempt attempt(params);
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  CHECK(rows_of_copy(done.value["url"]) == "1");
  end_copy(attempt.data());
  CHECK(attempt.apply().value == done.value);
}

TEST_CASE("a copy lies in a folder of its own") {
  const sys::TempFolder production;
  sys::make_folders(production.path() + "/data/base");
  sys::make_folders(production.path() + "/data/global");
  sys::write_file(production.path() + "/data/PG_VERSION", "15\n", 0600);
  sys::write_file(production.path() + "/data/global/pg_control", "", 0600);
  give_to_postgres(production.path());
  const std::string before = sys::tree_digest(production.path());
  Json params = life().wanted();
  params["data"] = production.path() + "/data";
  params["replace"] = true;
  params["config"] = "/etc/postgresql/15/main";
  const RecoverAttempt attempt(params);
  const std::string problems = attempt.preview().value["problems"].dump();
  CHECK(problems.find("a cluster is in the way of the copy") != std::string::npos);
  CHECK(problems.find("a paused copy has no configuration of its own") != std::string::npos);
  CHECK(attempt.apply().error != "");
  CHECK(sys::tree_digest(production.path()) == before);
  params.erase("config");
  params["data"] = production.path() + "/" + std::string(90, 'x');
  CHECK(RecoverAttempt(params).preview().value["problems"].dump().find(
            "the folder's name is too long for a socket") != std::string::npos);
}
