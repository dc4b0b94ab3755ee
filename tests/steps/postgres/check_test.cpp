// What postgres.check finds on a real server, and that it changes nothing.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/postgres.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

Postgres& server() {
  static Postgres postgres;
  return postgres;
}

struct Checked {
  Checked() {
    server().execute("drop database if exists sound with (force)");
    server().execute("create database sound");
    server().execute(
        "create table notes (id serial primary key, body text collate \"en-x-icu\", who int);"
        "insert into notes (body, who) select 'note ' || i, i from generate_series(1, 400) i;"
        "create index notes_body on notes (body); create index notes_who on notes (who);"
        "create table plain (id serial, a int); insert into plain (a) values (1), (2)",
        "sound");
  }
  void execute(const std::string& sql) const { server().execute(sql, "sound"); }
  // "" where it passes, else WHY | HINT.
  std::string fault(const std::string& more = "") const {
    const StepType& type = type_named("postgres.check");
    TestCall call;
    try {
      outputs = type.make()->apply(
          TestParams(type, R"({"database":")" + server().conninfo("sound") + "\"" + more + "}"), call);
      return "";
    } catch (const Error& error) {
      CHECK(error.kind == ErrorKind::permanent);
      CHECK(error.failed == "the database is not sound");
      return error.why + " | " + error.hint;
    }
  }
  std::string full() const { return fault(R"(,"depth":"full")"); }
  mutable Json outputs;
};

}  // namespace

TEST_CASE("a sound database passes both depths, and not even the extension stays") {
  const Checked db;
  CHECK(db.fault() == "");
  CHECK(db.outputs["indexes"] == 0);
  CHECK(db.full() == "");
  CHECK(db.outputs["tables"] > 50);
  CHECK(db.outputs["indexes"] > 50);
  CHECK(server().value("select count(*) from pg_extension where extname = 'amcheck'", "sound") == "0");
  db.execute("create extension amcheck");
  CHECK(db.full() == "");
  CHECK(server().value("select count(*) from pg_extension where extname = 'amcheck'", "sound") == "1");
}

TEST_CASE("an index that lacks a row is found by the full depth, with the command that mends it") {
  const Checked db;
  const std::string of = " where indexrelid = 'notes_who'::regclass";
  db.execute("update pg_index set indisready = false" + of);
  db.execute("insert into notes (body, who) values ('not in the index', 77777)");
  db.execute("update pg_index set indisready = true" + of);
  CHECK(db.fault() == "");
  const std::string fault = db.full();
  CHECK(fault.find("the index public.notes_who is damaged: heap tuple") == 0);
  CHECK(fault.ends_with("| REINDEX INDEX public.notes_who"));
  db.execute("reindex index notes_who");
  CHECK(db.full() == "");
}

TEST_CASE("an index that is not valid, a collation that changed and an old extension are told") {
  const Checked db;
  db.execute("update pg_index set indisvalid = false where indexrelid = 'notes_who'::regclass");
  CHECK(db.fault() ==
        "the index public.notes_who of public.notes is not valid | REINDEX INDEX public.notes_who");
  CHECK(db.fault(R"(,"skip":["indexes"])") == "");
  db.execute("update pg_index set indisvalid = true where indexrelid = 'notes_who'::regclass");

  const std::string version =
      server().value("select collversion from pg_collation where collname = 'en-x-icu'", "sound");
  db.execute("update pg_collation set collversion = '1.0' where collname = 'en-x-icu'");
  CHECK(db.fault() ==
        "the collation of \"en-x-icu\" has version " + version +
            " here, and was 1.0: indexes public.notes_body | REINDEX INDEX public.notes_body; ALTER "
            "COLLATION \"en-x-icu\" REFRESH VERSION");
  db.execute("reindex index notes_body; alter collation \"en-x-icu\" refresh version");
  CHECK(db.fault() == "");

  db.execute(
      "create extension pgcrypto; update pg_extension set extversion = '1.2' where extname = 'pgcrypto'");
  CHECK(db.fault() ==
        "the extension pgcrypto is version 1.2, and this host installs 1.3 | ALTER EXTENSION "
        "pgcrypto UPDATE");
  db.execute("update pg_extension set extname = 'gone_one' where extname = 'pgcrypto'");
  CHECK(db.fault().find("gone_one is version 1.2, and this host has none of it | install its package") !=
        std::string::npos);
}

TEST_CASE("a sequence behind its column is told; one without an index by the full depth") {
  const Checked db;
  db.execute("select setval('notes_id_seq', 7)");
  CHECK(db.fault() ==
        "the sequence public.notes_id_seq would give 8, and public.notes.id is at 400 | SELECT "
        "setval('public.notes_id_seq', 400)");
  db.execute("select setval('notes_id_seq', 400); select setval('plain_id_seq', 2, false)");
  CHECK(db.fault() == "");
  CHECK(db.full().find("the sequence public.plain_id_seq would give 2, and public.plain.id is at 2") == 0);
  db.execute("select setval('plain_id_seq', 2)");
  CHECK(db.full() == "");
}

TEST_CASE("rows are compared with what the backup counted") {
  const Checked db;
  const sys::TempFolder folder;
  const std::string set = folder.path() + "/backup.json", more = R"(,"backup":")" + set + "\"";
  const auto sealed = [&](const std::string& rows) {
    sys::write_file(set, R"({"database":{"rows":)" + rows + "}}", 0644);
  };
  sealed(R"({"public.notes":400,"public.plain":1})");
  CHECK(db.fault(more + R"(,"depth":"full")") == "");
  CHECK(db.outputs["compared"] == 2);
  sealed(R"({"public.notes":401,"public.gone":3,"public.plain":2})");
  db.execute("delete from plain");
  const std::string mend = "restore the table again, from another copy of the backup";
  CHECK(db.fault(more) ==
        "public.gone should have 3 rows, and is not there; public.plain "
        "should have 2 rows, and has 0 | " +
            mend + "; " + mend);
  CHECK(db.fault(more + R"(,"depth":"full")").find("public.notes should have 401 rows, and has 400") !=
        std::string::npos);

  sys::write_file(set, "{}", 0644);
  const StepType& type = type_named("postgres.check");
  TestCall call;
  const TestParams params(type, R"({"database":"dbname=x")" + more + R"(,"skip":["row"]})");
  const Preview preview = type.make()->preview(params, call);
  REQUIRE(preview.problems.size() == 1);
  CHECK(preview.problems[0].hint.find("write one of checksums, indexes") == 0);
}
