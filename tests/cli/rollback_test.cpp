// What a rollback says before it begins.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/mounted.h"
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

namespace {

// A folder and a database with a backup, kept; and both copies removed by hand.
struct Lost : Bench {
  Lost() {
    postgres.execute("create database app");
    postgres.execute("create table notes (body text); insert into notes values ('old')", "app");
    sys::make_folders(file("data"));
    write("data/a", "old");
    const Ran ran = run(R"(
runbook "keep" {}
local input = inputs { dir = { doc = "where", type = "path" }, server = { doc = "its server" } }
local dump = postgres.dump "dump" { database = "app", server = input.server, into = input.dir / "set/app.dump" }
local packed = blobs.archive "archive" { from = input.dir / "data", into = input.dir / "set/data.tar.zst" }
blobs.keep "blobs" { path = input.dir / "data", archive = packed.path, manifest = packed.manifest }
postgres.keep "database" { database = "app", server = input.server, dump = dump.path }
shell.run "later" { command = { "/bin/true" }, undo = { "/bin/touch", input.dir / "undone" } }
)",
                        {"--set", "dir=" + path(), "--set", "server=" + postgres.conninfo()});
    INFO(ran.out, ran.err);
    REQUIRE(ran.exit == 0);
    write("data/a", "new");
    postgres.execute("update notes set body = 'new'", "app");
    const Json steps = status()["steps"];
    id = status()["run"];
    sys::remove_tree(steps[2]["outputs"]["copy"]);
    postgres.execute("drop database \"" + steps[3]["outputs"]["copy"].get<std::string>() + "\"");
  }
  std::string told(const Ran& ran) const { return flat(ran.out + ran.err); }

  Postgres postgres;
  std::string id;
};

}  // namespace

TEST_CASE("a copy that is gone is told first with the backup that stands in for it, and what that lacks") {
  Lost bench;
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  const std::string dump = "the backup " + bench.file("set/app.dump") + " of 20";
  const std::string archive = "the backup " + bench.file("set/data.tar.zst") + " of 20";
  const Ran asked = bench.relight({"rollback"});
  CHECK(asked.exit == 2);
  for (const auto& [of, backup] :
       {std::pair(std::string("database: database app"), dump), {"blobs: " + bench.file("data"), archive}}) {
    has(bench.told(asked), of + ": the kept copy is gone: a rollback restores " + backup);
    has(bench.told(asked), "what was written between then and the stop is LOST");
  }
  has(bench.told(asked), "blobs: " + bench.file("data") + ": 1 file was written; a rollback puts that aside");

  const Ran back = bench.relight({"rollback", "--yes"});
  CHECK(back.exit == 0);
  has(bench.told(back), "rolled back: what the run changed is as it was before, but for");
  has(bench.told(back), "database: the kept copy of database app was gone: it is back from " + dump);
  has(bench.told(bench.relight({"report"})),
      "the kept copy of " + bench.file("data") + " was gone: it is back from " + archive);
  CHECK(bench.status()["steps"][2]["from_backup"].is_string());
  CHECK(bench.read("data/a") == "old");
  CHECK(bench.postgres.value("select body from notes", "app") == "old");
  // What was newer is kept aside.
  const std::string kept = bench.relight({"keep"}).out;
  has(kept, "database relight_old_");
  has(kept, bench.file(".data.relight-"));
  CHECK(bench.relight({"keep", "--drop", bench.id, "--yes"}).exit == 0);
  CHECK(bench.postgres.value("select count(*) from pg_database where datname like 'relight%'") == "0");
  CHECK(bench.postgres.value("select body from notes", "app") == "old");
}

TEST_CASE("a rollback whose copy is gone does not begin where its backup would not restore") {
  Lost bench;
  std::string step, why;
  SUBCASE("the dump is gone") {
    sys::remove_file(bench.file("set/app.dump"));
    step = "database";
    why = "cannot read the dump: " + bench.file("set/app.dump") + ": it is not there";
  }
  SUBCASE("the dump is damaged") {
    std::string bytes = bench.read("set/app.dump");
    bytes.resize(bytes.size() - 10);
    bench.write("set/app.dump", bytes);
    step = "database";
    why = "cut off or damaged";
  }
  SUBCASE("the archive is gone") {
    sys::remove_file(bench.file("set/data.tar.zst"));
    step = "blobs";
    why = "cannot read the blobs: " + bench.file("set/data.tar.zst") + ": it is not there";
  }
  SUBCASE("the archive holds something else") {
    std::string sums = bench.read("set/data.sha256");
    sums[0] = sums[0] == '0' ? '1' : '0';
    bench.write("set/data.sha256", sums);
    step = "blobs";
    why = "the blobs are not those of their manifest";
  }
  for (const bool json : {false, true}) {
    std::vector<std::string> words{"rollback", "--yes"};
    if (json) words.push_back("--json");
    const Ran back = bench.relight(words);
    INFO(back.out, back.err);
    CHECK(back.exit == 4);
    CHECK(bench.told(back).find("cannot roll back, and has undone nothing: step " + step +
                                ": the kept copy is gone, and the backup cannot stand in") !=
          std::string::npos);
    CHECK(bench.told(back).find(why) != std::string::npos);
    CHECK(bench.told(back).find("`relight rollback " + bench.id + " --done " + step + "`") !=
          std::string::npos);
    if (!json) CHECK(bench.told(back).find(step + ": NO WAY BACK: ") != std::string::npos);
  }
  // Nothing was begun.
  CHECK_FALSE(sys::exists(bench.file("undone")));
  CHECK(bench.run_state() == "done");
  CHECK(bench.read("data/a") == "new");
  CHECK(bench.postgres.value("select body from notes", "app") == "new");

  // Brought back by hand, it is passed over.
  const Ran back = bench.relight({"rollback", "--yes", "--done", step});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(bench.run_state() == "rolled-back");
  CHECK(sys::exists(bench.file("undone")));
  CHECK(bench.read("data/a") == (step == "blobs" ? "new" : "old"));
  CHECK(bench.postgres.value("select body from notes", "app") == (step == "blobs" ? "old" : "new"));
}

TEST_CASE("a rollback whose copy is gone does not begin where the disk is too small for the backup") {
  Bench bench;
  const Mounted disk(bench.file("disk"), Mounted::Kind::tmpfs, "16m");
  sys::make_folders(bench.file("disk/data"));
  bench.write("disk/data/a", std::string(4 << 20, 'a'));
  const Ran ran = bench.run(R"(
runbook "keep" {}
local input = inputs { dir = { doc = "where", type = "path" } }
local packed = blobs.archive "archive" { from = input.dir / "disk/data", into = input.dir / "data.tar.zst" }
blobs.keep "blobs" { path = input.dir / "disk/data", archive = packed.path, manifest = packed.manifest }
)",
                            {"--set", "dir=" + bench.path()});
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  sys::remove_tree(bench.status()["steps"][1]["outputs"]["copy"]);
  bench.write("disk/data/a", "new");
  bench.write("disk/filler", std::string(14 << 20, 'f'));
  const Ran full = bench.relight({"rollback", "--yes"});
  CHECK(full.exit == 4);
  INFO(full.out, full.err);
  CHECK(flat(full.err).find("too little disk space: " + bench.file("disk") + ": 4.2 MB needed") !=
        std::string::npos);
  CHECK(bench.run_state() == "done");
  CHECK(bench.read("disk/data/a") == "new");
  sys::remove_file(bench.file("disk/filler"));
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(bench.read("disk/data/a").size() == 4 << 20);
}
