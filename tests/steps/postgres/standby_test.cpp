// A standby made from its primary: it streams, its settings are its own, and the old cluster comes back.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"
#include "tests/support/recovery.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

struct Primary {
  Primary() {
    work_in_memory();
    server = std::make_unique<Postgres>();
    server->execute(
        "create role replicator replication login; create table t (i int); insert into t values (1)");
  }
  std::unique_ptr<Postgres> server;
};

Postgres& primary() {
  static const Primary one;
  return *one.server;
}

RecoverAttempt attempt(const std::string& data, Json more = Json::object()) {
  Json params = {{"server", "postgresql://replicator@127.0.0.1:" + std::to_string(primary().port())},
                 {"data", data},
                 {"name", "the one's"}};
  params.update(more);
  return RecoverAttempt(params, "20261121-102600-test", "postgres.standby");
}

// A folder of the user postgres with a cluster that has settings of its own.
struct Old {
  Old() {
    sys::Command initdb;
    give_to_postgres(folder.path());
    initdb.argv = {Postgres::program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
    sys::write_file(data + "/postgresql.conf",
                    "port = " + std::to_string(port) +
                        "\nlisten_addresses = ''\nunix_socket_directories = '" + folder.path() + "'\n",
                    0600);
    give_to_postgres(data);
  }
  void pg_ctl(const std::string& what) const {
    sys::Command command;
    command.argv = {"setsid", "-w", Postgres::program("pg_ctl"), "-D", data, "-w",
                    "-s",     "-l", folder.path() + "/log",      what, "-m", "fast"};
    if (what == "start") command.argv.resize(command.argv.size() - 2);
    command.as = "postgres";
    command.cwd = "/";
    sys::output_of(command, "cannot run pg_ctl");
  }
  sys::TempFolder folder;
  const std::string data = folder.path() + "/data";
  const int port = free_port();
};

}  // namespace

TEST_CASE("a standby streams from its primary with the settings of the cluster that it replaced") {
  primary();
  const Old old;
  const RecoverAttempt standby = attempt(old.data, {{"slot", "standby1"}});
  const Outcome preview = standby.preview();
  CHECK(preview.value["problems"] == Json::array());
  CHECK(preview.value["hints"] == Json::array());
  CHECK(preview.value["keeps"].size() == 1);
  const Outcome made = standby.apply();
  REQUIRE(made.error == "");
  CHECK(made.value["url"].get<std::string>().ends_with("port=" + std::to_string(old.port)));
  CHECK(standby.preview().value["verdict"] == "nothing_to_do");
  CHECK(standby.digest().starts_with("a standby of "));

  old.pg_ctl("start");
  const std::string streaming = made.value["streaming"].get<std::string>();
  CHECK(sys::wait_until(30s, 20ms, {}, [&] { return primary().value(streaming) == "1"; }));
  primary().execute("insert into t values (2)");
  const std::string url = made.value["url"].get<std::string>();
  CHECK(sys::wait_until(30s, 20ms, {}, [&] {
    return sys::Sql(url, {{"user", "postgres"}}).query("select count(*) from t").one() == "2";
  }));
  CHECK(standby.undo().error.find("a server runs on the data directory") == 0);
  old.pg_ctl("stop");
  REQUIRE(standby.undo().error == "");
  CHECK_FALSE(sys::exists(old.data + "/standby.signal"));
  CHECK(primary().value("select count(*) from pg_replication_slots") == "0");
}

TEST_CASE("what a standby would lack is told by the plan, and a primary that is away leaves it open") {
  primary();
  const sys::TempFolder folder;
  give_to_postgres(folder.path());
  const std::string data = folder.path() + "/data";
  const Outcome soon = attempt(data).preview();
  REQUIRE(soon.value["hints"].size() == 1);
  CHECK(soon.value["hints"][0].get<std::string>().find("start it soon") != std::string::npos);
  primary().execute("alter role replicator noreplication");
  const Outcome refused = attempt(data).apply();
  CHECK(refused.error.find("the user replicator may not replicate") != std::string::npos);
  primary().execute("alter role replicator replication");
  CHECK_FALSE(sys::exists(data));
  const Outcome away = attempt(data, {{"server", "postgresql://replicator@127.0.0.1:1"}}).preview();
  CHECK(away.value["verdict"] == "cannot_yet_tell");
  CHECK(away.value["problems"] == Json::array());

  sys::make_folders(data + "/base/16400");
  sys::write_file(data + "/PG_VERSION", "15\n", 0600);
  sys::make_folders(data + "/global");
  sys::write_file(data + "/global/pg_control", "", 0600);
  give_to_postgres(data);
  CHECK(attempt(data).preview().value["mends"] == Json({"write replace = true to have it put aside"}));
}

TEST_CASE("a primary's tablespaces are the standby's own, in folders that the plan names") {
  const sys::TempFolder places;
  give_to_postgres(places.path());
  const std::string fast = places.path() + "/fast", slow = places.path() + "/slow=er",
                    elsewhere = places.path() + "/else=where";
  for (const std::string& folder : {fast, slow}) sys::make_folders(folder);
  give_to_postgres(places.path());
  primary().execute("create tablespace fast location '" + fast + "'");
  primary().execute("create tablespace slow location '" + slow + "'");
  primary().execute(
      "create table f (i int) tablespace fast; create table s (i int) tablespace slow;"
      "insert into f values (1)");
  const Old old;
  const RecoverAttempt standby = attempt(old.data, {{"tablespaces", {{slow, elsewhere}}}});
  const std::string beside = fast + ".relight-20261121-102600-test";
  const Outcome preview = standby.preview();
  CHECK(preview.value["problems"] == Json::array());
  const std::string told = preview.value["hints"].dump();
  CHECK(told.find("the tablespace at " + fast + " is made anew in " + beside) != std::string::npos);
  CHECK(told.find("the tablespace at " + slow + " is made anew in " + elsewhere) != std::string::npos);
  CHECK(attempt(old.data, {{"tablespaces", {{"/no/such", elsewhere}}}})
            .preview()
            .value["problems"]
            .dump()
            .find("no such tablespace: /no/such") != std::string::npos);
  CHECK(attempt(old.data, {{"tablespaces", {{slow, slow}}}})
            .preview()
            .value["problems"]
            .dump()
            .find("a tablespace's new folder is in use: " + slow) != std::string::npos);

  REQUIRE(standby.apply("postgres.standby:copied").killed);
  CHECK(sys::exists(beside));
  const Outcome made = standby.apply();
  REQUIRE(made.error == "");
  old.pg_ctl("start");
  primary().execute("insert into f values (2); insert into s values (3)");
  const std::string url = made.value["url"].get<std::string>();
  CHECK(sys::wait_until(30s, 20ms, {}, [&] {
    return sys::Sql(url, {{"user", "postgres"}})
               .query("select (select count(*) from f) || ' ' || (select count(*) from s)")
               .one() == "2 1";
  }));
  old.pg_ctl("stop");
  REQUIRE(standby.undo().error == "");
  CHECK_FALSE(sys::exists(beside));
  CHECK_FALSE(sys::exists(elsewhere));
  CHECK(primary().value("select (select count(*) from f) || ' ' || (select count(*) from s)") == "2 1");
  primary().execute("drop table f, s");
  for (const char* name : {"fast", "slow"}) primary().execute(std::string("drop tablespace ") + name);
}
