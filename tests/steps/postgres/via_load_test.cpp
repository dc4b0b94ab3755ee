// postgres.load into the volume of a service.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "tests/support/postgres.h"
#include "tests/support/volume_step.h"

using namespace relight;

namespace {

bool can_run() {
  return DockerEngine::get() != nullptr && use_any_compose();
}

// A database whose owner is the superuser of the service.
const std::string& dump(const std::string& form) {
  static const sys::TempFolder folder;
  static std::map<std::string, std::string> made;
  std::string& path = made[form];
  if (!path.empty()) return path;
  path = folder.path() + "/ember." + form;
  Postgres server;
  server.execute("create role app superuser login");
  server.execute("create database ember owner app");
  server.execute(
      "create table notes as select i from generate_series(1, 50) i; alter table notes owner to app",
      "ember");
  const std::string file = server.folder() + "/dump";
  server.run("pg_dump", {"--format=" + form, "--file=" + file, "ember"});
  sys::copy_tree(file, path);
  return path;
}

struct Loaded : VolumeStep {
  explicit Loaded(const std::string& form = "custom") : VolumeStep("postgres.load"), path(dump(form)) {}
  Json fields() const override {
    return {{"dump", path},
            {"database", "ember"},
            {"role", "app"},
            {"jobs", 2},
            {"password", bench.reached()["password"]}};
  }
  std::string data() const { return bench.volume() + "/data"; }
  // Over the network, by its password.
  std::string rows() const {
    sys::Sql sql(
        "", {{"host", bench.address()}, {"user", "app"}, {"password", bench.password}, {"dbname", "ember"}});
    return sql.query("select count(*) from notes").one();
  }

  const std::string path;
};

}  // namespace

TEST_CASE("a cluster is made of a dump in the volume of a service, by its image, and goes back") {
  if (!can_run()) return;
  for (const std::string form : {"custom", "plain"}) {
    CAPTURE(form);
    const Loaded one(form);
    const Preview none = one.preview();
    CHECK(none.verdict == Preview::Verdict::cannot_yet_tell);
    REQUIRE(none.hints.size() == 1);
    CHECK(none.hints[0].find("up --no-start db") != std::string::npos);

    const std::string before = planned_in(one);

    const Json outputs = one.apply();
    CHECK(outputs["url"] == nullptr);
    CHECK(outputs["data"] == "/var/lib/pg/data");
    CHECK(outputs["tables"] == 1);
    CHECK(one.apply() == outputs);
    CHECK(containers_of_steps() == "");
    CHECK(owners_in(one.data()) == "999:999 ");
    CHECK_FALSE(sys::exists(one.data() + "/relight.work"));
    for (const std::string& log : {sys::read_file(one.data() + "/postgresql.conf"), outputs.dump()})
      CHECK(log.find("hunter2") == std::string::npos);
    one.bench.up();
    CHECK(one.rows() == "50");
    CHECK(one.bench.sql("show fsync") == "off");  // as its own start has it

    CHECK_THROWS_WITH_AS(one.undo(), doctest::Contains("runs on it"), Error);
    one.bench.stop();
    one.undo();
    CHECK(sys::tree_digest(one.bench.volume()) == before);
  }
}

TEST_CASE("a cluster made of a dump takes over the settings of the volume's own, which is kept") {
  if (!can_run()) return;
  const Loaded one;
  one.bench.up();
  CHECK(one.preview().verdict == Preview::Verdict::cannot_yet_tell);
  CHECK_THROWS_WITH_AS(one.apply(), doctest::Contains("runs on it"), Error);
  one.bench.sql("create table t (i int); insert into t values (7)");
  one.bench.sql("alter system set work_mem = '9MB'");
  one.bench.stop();
  CHECK(one.problem() ==
        "cannot make a cluster of the dump: " + one.data() + ": the cluster there holds data");
  CHECK(one.problem({{"replace", true}}) == "");
  // What is told of a tablespace is what can be done here.
  const std::string spaced = one.bench.path() + "/spaced.sql";
  sys::write_file(spaced, "SET default_tablespace = fast;\nCREATE TABLE t (i integer);\n", 0644);
  const Preview told = one.preview({{"replace", true}, {"dump", spaced}});
  REQUIRE(told.problems.size() == 1);
  CHECK(told.problems[0].what == "a tablespace of the dump is missing");
  CHECK(told.problems[0].hint == "make the dump without: pg_dump --no-tablespaces");
  CHECK(one.problem({{"replace", true}, {"version", 14}}).find("its image runs no PostgreSQL 14") !=
        std::string::npos);
  CHECK(one.problem({{"replace", true}, {"data", "/tmp/data"}}).find("it lies on no volume of service db") !=
        std::string::npos);
  const Preview open = one.preview({{"replace", true}, {"password", nullptr}});
  CHECK(open.hints.back().find("no WAL archive") != std::string::npos);
  CHECK(open.hints[open.hints.size() - 2].starts_with("the role app will have no password"));

  one.apply({{"replace", true}});
  one.bench.up();
  CHECK(one.rows() == "50");
  CHECK(one.bench.sql("show work_mem") == "9MB");
  one.bench.stop();
  one.undo();
  one.bench.up();
  CHECK(one.bench.sql("select i from t") == "7");
}

TEST_CASE("what a killed load has running in a container is ended by the next") {
  if (!can_run()) return;
  const Loaded one;
  one.bench.make();
  CHECK(killed_at("postgres.load:started", [&] { one.apply(); }));
  CHECK(containers_of_steps() != "");  // the server runs on
  CHECK_FALSE(sys::exists(one.data() + "/PG_VERSION"));
  // And a program that no data directory tells of.
  DockerEngine::get()->docker({"run", "--detach", "--interactive", "--network", "none", "--label",
                               "relight.step=20261121-102600-test/postgres.load", "--entrypoint", "/bin/sh",
                               "relight-postgres:15", "-c", "read end"});
  one.apply();
  CHECK(containers_of_steps() == "");
  one.bench.up();
  CHECK(one.rows() == "50");
}
