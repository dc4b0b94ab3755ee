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
    // Farther than a server that stops at the named point reads ahead.
    for (int i = 0; i < 4; ++i) source.server.archive_now();
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

RecoverAttempt advance(const std::string& copy, const std::string& to, const Json& more = Json::object()) {
  Json params = {{"copy", copy}, {"to", to}};
  params.update(more);
  return RecoverAttempt(params, "20261121-102601-test", "postgres.advance");
}

struct PromoteAttempt : RecoverAttempt {
  explicit PromoteAttempt(const Json& params)
      : RecoverAttempt(params, "20261121-102602-test", "postgres.promote") {}
};

// A cluster that holds nothing, in `folder`/main, with a file by which it is known.
std::string old_cluster(const std::string& folder) {
  give_to_postgres(folder);
  sys::Command initdb;
  initdb.argv = {
      Postgres::program("initdb"), "-D", folder + "/main", "-U", "postgres", "-A", "trust", "--no-sync"};
  initdb.as = "postgres";
  initdb.cwd = "/";
  sys::output_of(initdb, "cannot run initdb");
  sys::write_file(folder + "/main/old", "", 0600);
  give_to_postgres(folder);
  return folder + "/main";
}

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

TEST_CASE("a copy goes on to a later moment, and never back") {
  const CopyAttempt copy(life().wanted("name:three"));
  REQUIRE(copy.apply().error == "");
  const std::string far = "2120-01-01T00:00:00Z";
  CHECK(advance(copy.data(), far)
            .preview()
            .value["problems"]
            .dump()
            .find("the moment lies after the end of the WAL") != std::string::npos);
  const Outcome all = advance(copy.data(), far, {{"past_end", "latest"}}).preview();
  CHECK(all.value["problems"] == Json::array());
  const std::string summary = all.value["summary"], last = summary.substr(summary.rfind(' ') + 1);
  const Outcome short_of_it = advance(copy.data(), last, {{"inclusive", false}}).apply();
  REQUIRE(short_of_it.error == "");
  CHECK(rows_of_copy(short_of_it.value["url"]) == "1 2 3 4 5");

  const std::string before = server_of_copy(copy.data(), true);
  const RecoverAttempt on = advance(copy.data(), "latest");
  const Outcome plan = on.preview();
  REQUIRE(plan.error == "");
  REQUIRE(plan.value["problems"] == Json::array());
  CHECK(plan.value["verdict"] == "would_change");
  CHECK(plan.value["cannot_undo"].get<std::string>().find("a copy only goes forward") != std::string::npos);
  CHECK(plan.value["cannot_undo"].get<std::string>().find(life().source.base) != std::string::npos);
  CHECK(server_of_copy(copy.data(), true) == before);
  const Outcome done = on.apply();
  REQUIRE(done.error == "");
  const std::string url = done.value["url"], server = server_of_copy(copy.data(), true);
  CHECK(rows_of_copy(url) == "1 2 3 4 5 6");
  CHECK(refuses_to_write(url));
  CHECK(server != before);
  CHECK(on.apply().value == done.value);
  CHECK(on.check().value == Json{{"done", true}, {"outputs", done.value}});
  CHECK(server_of_copy(copy.data(), true) == server);
  CHECK(advance(copy.data(), "latest").preview().value["verdict"] == "nothing_to_do");
  for (const std::string& earlier : {std::string("name:three"), life().third}) {
    const RecoverAttempt back = advance(copy.data(), earlier);
    CHECK(back.preview().value["problems"].dump().find("the copy is past this moment") != std::string::npos);
    CHECK(back.apply().error.find("the copy is past this moment") != std::string::npos);
  }
  CHECK(server_of_copy(copy.data(), true) == server);
  REQUIRE(on.undo().error == "");
  CHECK(rows_of_copy(url) == "1 2 3 4 5 6");
  // The run that brought it up takes it away, wherever it went since.
  REQUIRE(copy.undo().error == "");
  CHECK_FALSE(sys::exists(copy.data()));
}

TEST_CASE("an advance that is killed goes on to the same moment") {
  for (const char* point :
       {"postgres.advance:decided", "postgres.advance:stopped", "postgres.recover:reached",
        "postgres.advance:prepared", "postgres.copy:launching", "postgres.copy:launched"}) {
    CAPTURE(point);
    const CopyAttempt copy(life().wanted("name:three"));
    REQUIRE(copy.apply().error == "");
    const RecoverAttempt on = advance(copy.data(), "latest");
    CHECK(on.apply(point).killed);
    const Outcome done = on.apply();
    REQUIRE(done.error == "");
    CHECK(rows_of_copy(done.value["url"]) == "1 2 3 4 5 6");
  }
}

TEST_CASE("a copy is promoted in place of a cluster, and back") {
  const sys::TempFolder folder;
  const std::string main = old_cluster(folder.path());
  Json wanted = life().wanted("name:three");
  wanted["data"] = folder.path() + "/copy";
  const RecoverAttempt copy(wanted);
  REQUIRE(copy.apply().error == "");
  const PromoteAttempt promote({{"copy", folder.path() + "/copy"}, {"into", main}, {"replace", true}});
  const Outcome plan = promote.preview();
  REQUIRE(plan.error == "");
  REQUIRE(plan.value["problems"] == Json::array());
  CHECK(plan.value["keeps"].dump().find("the cluster at " + main) != std::string::npos);
  CHECK(sys::exists(main + "/old"));
  CHECK(server_of_copy(folder.path() + "/copy") != "");
  const Outcome done = promote.apply();
  REQUIRE(done.error == "");
  CHECK(done.value["data"] == main);
  CHECK(done.value["timeline"] == 2);
  CHECK(done.value["protected"] == false);
  CHECK_FALSE(sys::exists(folder.path() + "/copy"));
  CHECK_FALSE(sys::exists(main + "/old"));
  for (const char* left : {"recovery.signal", "standby.signal", "relight.work", "postmaster.opts"})
    CHECK_FALSE(sys::exists(main + "/" + left));
  CHECK(promote.apply().value == done.value);
  CHECK(rows_of(main) == "1 2 3");
  REQUIRE(promote.undo().error == "");
  CHECK(sys::exists(main + "/old"));
  CHECK(rows_of(folder.path() + "/copy") == "1 2 3");
}

TEST_CASE("a copy is promoted where it lies") {
  const CopyAttempt copy(life().wanted());
  REQUIRE(copy.apply().error == "");
  const PromoteAttempt promote(Json{{"copy", copy.data()}});
  const Outcome done = promote.apply();
  REQUIRE(done.error == "");
  CHECK(done.value["data"] == copy.data());
  CHECK(server_of_copy(copy.data()) == "");
  CHECK(rows_of(copy.data()) == "1 2 3 4 5 6");
}

TEST_CASE("a promotion that had not begun is undone to a paused copy") {
  const sys::TempFolder folder;
  const std::string main = old_cluster(folder.path());
  for (const char* point :
       {"postgres.promote:stopped", "postgres.promote:taken", "postgres.recover:started"}) {
    CAPTURE(point);
    const CopyAttempt copy(life().wanted("name:three"));
    const Outcome up = copy.apply();
    REQUIRE(up.error == "");
    const PromoteAttempt promote({{"copy", copy.data()}, {"into", main}, {"replace", true}});
    CHECK(promote.apply(point).killed);
    REQUIRE(promote.undo().error == "");
    CHECK(rows_of_copy(up.value["url"]) == "1 2 3");
    CHECK(sys::exists(main + "/old"));
  }
}

TEST_CASE("a promotion's plan tells what is in its way") {
  const sys::TempFolder folder;
  const std::string main = old_cluster(folder.path());
  const CopyAttempt copy(life().wanted("name:three"));
  CHECK(PromoteAttempt({{"copy", copy.data()}, {"into", main}})
            .preview()
            .value["problems"]
            .dump()
            .find("no paused copy lies there") != std::string::npos);
  REQUIRE(copy.apply().error == "");
  const sys::TempFolder elsewhere("/var/tmp");
  give_to_postgres(elsewhere.path());
  const auto problems = [&](const std::string& into) {
    return PromoteAttempt({{"copy", copy.data()}, {"into", into}}).preview().value["problems"].dump();
  };
  CHECK(problems(elsewhere.path() + "/main").find("the copy lies on another file system") !=
        std::string::npos);
  sys::write_file(elsewhere.path() + "/file", "", 0644);
  CHECK(problems(elsewhere.path()).find("something else is in the way") != std::string::npos);
}
