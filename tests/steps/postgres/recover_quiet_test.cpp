// What a recovered cluster would do of its own accord: nothing of it while it recovers, and all of it told.
#include <doctest/doctest.h>

#include <optional>

#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// It archives, subscribes to itself, and has a job that writes every minute.
struct Busy {
  Busy() {
    work_in_memory();
    server.emplace(
        PostgresOptions{.fsync = false,
                        .archive = true,
                        .initdb = {"--wal-segsize=1"},
                        .settings = {{"shared_preload_libraries", "'pg_cron'"}, {"wal_level", "logical"}},
                        .env = {}});
    base = server->folder() + "/base";
    server->execute("create database other");
    server->execute("create table t (i int); create extension pg_cron");
    server->execute("create table t (i int)", "other");
    server->execute("create publication p for table t");
    server->execute("select pg_create_logical_replication_slot('s', 'pgoutput')");
    server->execute("create subscription s connection '" + server->conninfo() +
                        " password=hunter2-of-the-link' publication p with (create_slot = false, copy_data = "
                        "false, enabled = false)",
                    "other");
    server->base_backup(base, {"--format=tar"});
    server->execute("alter subscription s enable", "other");
    server->execute("select cron.schedule('* * * * *', 'insert into t\n values (1)')");
    server->archive_now();
    server->stop();
  }
  std::optional<Postgres> server;
  std::string base;
};

}  // namespace

TEST_CASE("what the recovered cluster does once its service starts is told, and not done before") {
  const Busy busy;
  const RecoverAttempt attempt({{"base", busy.base}, {"wal", {busy.server->archive_folder()}}});
  const Outcome ran = attempt.apply();
  REQUIRE(ran.error == "");
  const Json& quieted = ran.value["quieted"];
  INFO(quieted.dump(2));
  REQUIRE(quieted.size() == 5);
  CHECK(quieted[0] == "it listens by TCP on 127.0.0.1, port " + std::to_string(busy.server->port()));
  CHECK(quieted[1].get<std::string>().starts_with("it archives its WAL: "));
  CHECK(quieted[2] == "it loads pg_cron");
  CHECK(quieted[3] == "the subscription s of database other reaches for its publisher, by the slot s");
  CHECK(quieted[4] == "the job 1 of pg_cron runs at * * * * *: insert into t values (1)");
  CHECK(ran.value.dump().find("hunter2") == std::string::npos);
  CHECK(attempt.check().value["outputs"]["quieted"] == quieted);
}
