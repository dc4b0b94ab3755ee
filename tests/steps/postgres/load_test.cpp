// A cluster made of a dump: what it holds, what is refused, what a kill leaves.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/postgres.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A database with an owner of its own, its dump and its cluster's globals.
struct Dumped {
  Dumped() {
    work_in_memory();
    folder = std::make_unique<sys::TempFolder>();
    Postgres server;
    server.execute("create role ember login password 'x' connection limit 7; create role reader");
    server.execute("create database ember owner ember encoding 'UTF8' template template0 lc_collate 'C'");
    server.execute("alter database ember set work_mem to '7MB'");
    server.execute(
        "create table t (i int primary key); insert into t select generate_series(1, 500);"
        "create table other (i int references t (i)); alter table t owner to ember; create extension "
        "pgcrypto",
        "ember");
    const std::string made = server.folder() + "/made";
    for (const char* form : {"custom", "directory", "plain"}) {
      server.run("pg_dump", {std::string("--format=") + form, "--file=" + made, "ember"});
      sys::copy_tree(made, dump(form));
      sys::remove_tree(made);
    }
    sys::write_file(globals(), server.run("pg_dumpall", {"--globals-only"}), 0644);
    give_to_postgres(folder->path());
  }
  std::string dump(const std::string& form) const { return folder->path() + "/ember." + form; }
  std::string globals() const { return folder->path() + "/globals.sql"; }
  std::unique_ptr<sys::TempFolder> folder;
};

const Dumped& dumped() {
  static const Dumped one;
  return one;
}

RecoverAttempt attempt(Json more = Json::object(), const std::string& form = "custom") {
  Json params = {{"dump", dumped().dump(form)},
                 {"globals", dumped().globals()},
                 {"database", "ember"},
                 {"locale", "C.UTF-8"},
                 {"version", 15},
                 {"jobs", 2}};
  params.update(more);
  return RecoverAttempt(params, "20261121-102600-test", "postgres.load");
}

std::string value(const std::string& data, const std::string& sql) {
  return value_in_stopped(data, sql, "ember");
}

void initdb(const std::string& data) {
  sys::Command command;
  command.argv = {Postgres::program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"};
  command.as = "postgres";
  command.cwd = "/";
  sys::output_of(command, "cannot run initdb");
}

}  // namespace

TEST_CASE("a cluster is made of a dump of each form, synced and without a trace of how it was loaded") {
  for (const char* form : {"custom", "directory", "plain"}) {
    CAPTURE(form);
    const RecoverAttempt load = attempt(Json::object(), form);
    const Outcome preview = load.preview();
    CHECK(preview.value["problems"] == Json::array());
    CHECK(preview.value["verdict"] == "would_change");
    CHECK(preview.value["summary"].get<std::string>().ends_with(", into a new cluster at " + load.data()));
    CHECK(preview.value["hints"].back().get<std::string>().find("no WAL archive of the old one") !=
          std::string::npos);
    CHECK_FALSE(sys::exists(load.data()));

    const Outcome made = load.apply();
    REQUIRE(made.error == "");
    CHECK(made.value["tables"] == 2);
    CHECK(made.value["protected"] == false);
    CHECK(value(load.data(), "select count(*) from t") == "500");
    CHECK(value(load.data(), "select pg_get_userbyid(relowner) from pg_class where relname = 't'") ==
          "ember");
    CHECK(value(load.data(), "select rolconnlimit from pg_roles where rolname = 'ember'") == "7");
    CHECK(value(load.data(), "select datcollate from pg_database where datname = 'ember'") ==
          (form == std::string("plain") ? "C.UTF-8" : "C"));
    CHECK(value(load.data(), "select reltuples from pg_class where relname = 't'") == "500");
    CHECK(value(load.data(), "select setting from pg_settings where name = 'fsync'") == "on");
    CHECK(value(load.data(), "select setting from pg_settings where name = 'wal_level'") == "replica");
    CHECK(value(load.data(), "select setting from pg_settings where name = 'data_checksums'") == "on");
    CHECK_FALSE(sys::exists(load.data() + "/relight.work"));
    CHECK(load.check().value["done"] == true);
    CHECK(load.preview().value["verdict"] == "nothing_to_do");
    REQUIRE(load.undo().error == "");
    CHECK_FALSE(sys::exists(load.data()));
  }
}

TEST_CASE("the cluster there is put aside with its data, and its settings are taken over") {
  const RecoverAttempt load = attempt({{"replace", true}}), held = attempt();
  for (const std::string& data : {load.data(), held.data()}) {
    initdb(data);
    sys::write_file(data + "/postgresql.conf", "port = 5544\nunix_socket_directories = '/srv/sock'\n", 0600);
    sys::write_file(data + "/postgresql.auto.conf", "work_mem = '9MB'\nrestore_command = 'false'\n", 0600);
    sys::write_file(data + "/server.key", "key", 0600);
    sys::make_folders(data + "/base/16400");
    give_to_postgres(data);
  }
  REQUIRE(held.preview().value["problems"].size() == 1);
  CHECK(held.preview().value["mends"][0] == "write replace = true to have it put aside");
  CHECK(held.apply().error.find("the cluster there holds data") != std::string::npos);
  CHECK(sys::exists(held.data() + "/base/16400"));

  CHECK(load.preview().value["keeps"].size() == 1);
  const Outcome made = load.apply();
  REQUIRE(made.error == "");
  CHECK(made.value["url"] == "postgresql:///ember?host=/srv/sock&port=5544");
  CHECK(sys::read_file(load.data() + "/postgresql.conf").starts_with("port = 5544"));
  CHECK(sys::read_file(load.data() + "/postgresql.auto.conf") ==
        "work_mem = '9MB'\n# put out of force by relight: restore_command = 'false'\n");
  CHECK(sys::read_file(load.data() + "/server.key") == "key");
  CHECK(load.kept().value.size() == 1);
  REQUIRE(load.undo().error == "");
  CHECK(sys::exists(load.data() + "/base/16400"));
}

TEST_CASE("killed while it loads, the cluster is made anew, and nothing of the server is left") {
  for (const char* point :
       {"postgres.load:started", "postgres.load:fed", "postgres.load:loaded", "postgres.load:unsynced"}) {
    CAPTURE(point);
    const RecoverAttempt load = attempt();
    REQUIRE(load.apply(point).killed);
    CHECK_FALSE(sys::exists(load.data()));
    const Outcome made = load.apply();
    REQUIRE(made.error == "");
    CHECK(value(load.data(), "select count(*) from t") == "500");
    CHECK(sys::names_in(load.folder()) == std::vector<std::string>{"data", "log.txt", "notes.json"});
  }
}

TEST_CASE("what a new cluster would lack is told by the plan") {
  Json none = {{"dump", dumped().dump("custom")}, {"database", "postgres"}, {"version", 15}};
  const RecoverAttempt load(none, "20261121-102600-test", "postgres.load");
  CHECK(load.preview().value["problems"] ==
        Json({"cannot make a cluster of the dump: postgres: initdb makes a database of that name itself",
              "a role of the dump is missing: the new cluster: ember"}));
  CHECK(load.apply().hint == "give it another name");
  CHECK(attempt({{"version", 99}}).preview().value["verdict"] == "cannot_yet_tell");
}

TEST_CASE("tablespaces of a dump are made in the folders that the runbook names, or all goes into one") {
  dumped();
  const sys::TempFolder places;
  const std::string fast = places.path() + "/fast", slow = places.path() + "/slow";
  {
    Postgres server;
    for (const char* name : {"fast", "slow"}) {
      sys::make_folders(server.folder() + "/" + name);
      give_to_postgres(server.folder());
      server.execute(std::string("create tablespace ") + name + " location '" + server.folder() + "/" + name +
                     "'");
    }
    server.execute("create database ember template template0 tablespace slow");
    server.execute("create table f (i int) tablespace fast; insert into f values (1)", "ember");
    server.execute(
        "create role keeper; create role \"The guest\"; alter tablespace fast owner to keeper;"
        " alter tablespace fast set (random_page_cost = 1.1); grant create on tablespace fast to \"The "
        "guest\"");
    server.run("pg_dumpall", {"--globals-only", "--file=" + server.folder() + "/globals"});
    sys::copy_tree(server.folder() + "/globals", places.path() + "/globals");
    for (const std::string form : {"custom", "plain"}) {
      server.run("pg_dump", {"--format=" + form, "--file=" + server.folder() + "/" + form, "ember"});
      sys::copy_tree(server.folder() + "/" + form, places.path() + "/" + form);
    }
  }
  sys::make_folders(slow, 0755);
  give_to_postgres(places.path());
  const Json dump = {{"dump", places.path() + "/custom"}};
  const auto named = [](const Json& given, const Json& tablespaces) {
    Json more = given;
    more["tablespaces"] = tablespaces;
    return attempt(more);
  };
  const Json both = {{"fast", fast}, {"slow", slow}};

  CHECK(named(dump, {{"slow", slow}}).preview().value["problems"] ==
        Json({"a tablespace of the dump is missing: the new cluster: fast"}));
  CHECK(named(dump, {{"fast", slow}, {"slow", slow}}).preview().value["problems"] ==
        Json({"a tablespace's new folder is in use: " + slow + ": another is made in it"}));
  CHECK(attempt({{"dump", places.path() + "/plain"}}).preview().value["problems"] ==
        Json({"a tablespace of the dump is missing: the new cluster: fast"}));

  const RecoverAttempt one_place = attempt(dump);
  CHECK(one_place.preview().value["hints"].dump().find("all goes into the data directory: fast, slow;") !=
        std::string::npos);
  REQUIRE(one_place.apply().error == "");
  CHECK(value(one_place.data(), "select count(*) from f") == "1");
  CHECK(sys::names_in(one_place.data() + "/pg_tblspc").empty());

  for (const char* form : {"custom", "plain"}) {
    CAPTURE(form);
    const RecoverAttempt load =
        named({{"dump", places.path() + "/" + form}, {"globals", places.path() + "/globals"}}, both);
    CHECK(load.preview().value["problems"] == Json::array());
    REQUIRE(load.apply("postgres.load:loaded").killed);
    CHECK_FALSE(sys::names_in(fast).empty());
    const Outcome made = load.apply();
    REQUIRE(made.error == "");
    CHECK(value(load.data(),
                "select spcname from pg_class c join pg_tablespace s on s.oid = "
                "c.reltablespace where relname = 'f'") == "fast");
    CHECK(value(load.data(),
                "select spcname from pg_database d join pg_tablespace s on s.oid = "
                "dattablespace where datname = 'ember'") ==
          (form == std::string("custom") ? "slow" : "pg_default"));
    CHECK(value(load.data(), "select count(*) from f") == "1");
    CHECK(value(load.data(),
                "select pg_get_userbyid(spcowner) || ' ' || spcoptions[1] || ' ' ||"
                " has_tablespace_privilege('The guest', oid, 'create') from pg_tablespace where spcname = "
                "'fast'") == "keeper random_page_cost=1.1 true");
    CHECK(value(load.data(), "select system_identifier from pg_control_system()") ==
          made.value["system_identifier"]);
    REQUIRE(load.undo().error == "");
    CHECK_FALSE(sys::exists(fast));
    CHECK(sys::names_in(slow).empty());
    struct stat there = {};
    REQUIRE(stat(slow.c_str(), &there) == 0);
    CHECK((there.st_mode & 07777) == 0755);
  }
}
