// What a rollback says before it begins.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

const char* const newer = "what is newer than what it puts back";

}  // namespace

TEST_CASE("a rollback says first which files are newer, and what becomes of them") {
  Bench bench;
  sys::make_folders(bench.file("data"));
  for (const char* name : {"data/a", "data/b", "data/c"}) bench.write(name, name);
  const Ran ran = bench.run(R"(
runbook "keep" {}
local input = inputs { dir = { doc = "where", type = "path" } }
blobs.keep "keep" { path = input.dir / "data" }
)",
                            {"--set", "dir=" + bench.path()});
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  const Ran same = bench.relight({"rollback"});
  CHECK(same.exit == 2);  // nobody sits at the terminal
  CHECK(same.out.find(newer) == std::string::npos);

  bench.write("data/a", "changed");
  sys::remove_file(bench.file("data/b"));
  bench.write("data/d", "new");
  bench.write("data/e", "new");
  const Ran asked = bench.relight({"rollback"});
  INFO(asked.out, asked.err);
  CHECK(asked.exit == 2);
  CHECK(flat(asked.out).find(
            "keep: " + bench.file("data") +
            ": 2 files were added, 1 was changed, 1 was removed; a rollback puts that aside") !=
        std::string::npos);
  for (const std::string& line : sys::split(asked.out, '\n')) CHECK(line.size() <= 80);
  CHECK(bench.read("data/a") == "changed");
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(bench.read("data/a") == "data/a");
}

TEST_CASE("a rollback says first how many rows are newer") {
  Bench bench;
  Postgres postgres;
  postgres.execute("create database app");
  postgres.execute("create table notes (id int); insert into notes values (1)", "app");
  const Ran ran = bench.run("runbook \"keep\" {}\npostgres.keep \"keep\" { database = \"app\", server = \"" +
                            postgres.conninfo() + "\" }");
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  const Ran same = bench.relight({"rollback"});
  INFO(same.out);
  CHECK(same.out.find("undoes, in this order: keep") != std::string::npos);
  CHECK(same.out.find(newer) == std::string::npos);

  postgres.execute("insert into notes values (2), (3); update notes set id = 4 where id = 1", "app");
  // The server counts what a session did when that has ended.
  CHECK(sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(20), {}, [&] {
    return postgres.value("select n_tup_upd from pg_stat_user_tables", "app") == "1";
  }));
  const Ran asked = bench.relight({"rollback", "--yes"});
  INFO(asked.out, asked.err);
  CHECK(asked.exit == 0);
  CHECK(flat(asked.out).find("keep: database app: at least 2 rows were inserted, 1 updated; a rollback puts "
                             "that aside") != std::string::npos);
  CHECK(postgres.value("select count(*) from notes", "app") == "1");
}

TEST_CASE("a copy that is gone is told first, and stops the rollback where it was to be put back") {
  Bench bench;
  Postgres postgres;
  postgres.execute("create database app");
  sys::make_folders(bench.file("data"));
  bench.write("data/a", "old");
  const Ran ran = bench.run(R"(
runbook "keep" {}
local input = inputs { dir = { doc = "where", type = "path" }, server = { doc = "its server" } }
blobs.keep "blobs" { path = input.dir / "data" }
postgres.keep "database" { database = "app", server = input.server }
)",
                            {"--set", "dir=" + bench.path(), "--set", "server=" + postgres.conninfo()});
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  bench.write("data/a", "new");
  const Json steps = bench.status()["steps"];
  const std::string run = bench.status()["run"], copy = steps[1]["outputs"]["copy"];
  sys::remove_tree(steps[0]["outputs"]["copy"]);
  postgres.execute("drop database \"" + copy + "\"");

  const std::string gone = ": the kept copy is gone: a rollback stops there, and needs the backup";
  Ran back = bench.relight({"rollback", "--yes"});
  {
    INFO(back.out, back.err);
    CHECK(back.exit == 4);
    const std::string told = flat(back.out + back.err);
    CHECK(told.find("database: database app" + gone) != std::string::npos);
    CHECK(told.find("blobs: " + bench.file("data") + gone) != std::string::npos);
    CHECK(told.find("the kept copy is gone: database app: this run made it, and database " + copy +
                    " is not there") != std::string::npos);
    CHECK(told.find("then `relight resume " + run + " --done database`") != std::string::npos);
  }
  back = bench.relight({"resume", "--done", "database"});
  {
    INFO(back.out, back.err);
    CHECK(back.exit == 4);
    CHECK(flat(back.out + back.err).find("the kept copy is gone: " + bench.file("data")) !=
          std::string::npos);
  }
  CHECK(bench.read("data/a") == "new");
  back = bench.relight({"resume", "--done", "blobs"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
}
