// What a rollback says before it begins.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
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
