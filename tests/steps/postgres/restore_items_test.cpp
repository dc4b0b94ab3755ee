// postgres.restore item by item: a part of a dump, a restore that goes on, the roles of globals.
#include <doctest/doctest.h>

#include <algorithm>

#include "runner/sys/text.h"
#include "tests/support/dump_bench.h"
#include "tests/support/program.h"

using namespace relight;
using namespace relight::dumps;

namespace {

// Tables, views and what hangs on them, in two schemas.
struct Linked : DumpBench {
  explicit Linked(const std::vector<std::string>& pg_dump = {"--format=custom"}) {
    server().execute("ALTER ROLE postgres SET relight.gate TO 'open'");
    server().execute("DROP DATABASE ember WITH (FORCE)");
    server().execute("CREATE DATABASE ember OWNER ember");
    server().execute(
        "CREATE SCHEMA app; CREATE TABLE app.users (id int PRIMARY KEY, name text);"
        "INSERT INTO app.users SELECT i, 'user ' || i FROM generate_series(1, 300) i;"
        "CREATE TABLE notes (id serial PRIMARY KEY, body text UNIQUE, by int REFERENCES app.users (id));"
        "INSERT INTO notes (body, by) SELECT 'note ' || i, i FROM generate_series(1, 300) i;"
        "CREATE TABLE \"odd name\" (a int); INSERT INTO \"odd name\" VALUES (1);"
        "CREATE TABLE nothing (a int PRIMARY KEY); CREATE TABLE parts (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);"
        "INSERT INTO parts SELECT generate_series(1, 19); CREATE INDEX ON parts (id);"
        "CREATE VIEW seen AS SELECT id, body FROM notes GROUP BY id;"
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM app.users;"
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        "CREATE TRIGGER stamp BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp();"
        "CREATE STATISTICS both_of ON id, body FROM notes; GRANT SELECT ON notes TO ember;"
        "CREATE POLICY mine ON app.users USING (id IN (SELECT by FROM public.notes));"
        "CREATE FUNCTION gate(a int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
        "  IF current_setting('relight.gate', true) IS DISTINCT FROM 'open' THEN RAISE 'the gate is shut'; "
        "END "
        "IF; RETURN a; END $$; CREATE TABLE gated (a int); INSERT INTO gated SELECT generate_series(1, 9);"
        "CREATE INDEX gated_idx ON gated (gate(a)); SELECT lo_from_bytea(0, 'large')",
        "ember");
    std::vector<std::string> arguments = pg_dump;
    const std::string made = server().folder() + "/linked";
    sys::remove_tree(made);
    arguments.insert(arguments.end(), {"--file=" + made, "ember"});
    server().run("pg_dump", arguments);
    sys::remove_tree(dump);
    sys::copy_tree(made, dump);
  }
  ~Linked() { server().execute("ALTER ROLE postgres RESET relight.gate"); }

  static std::string there(const std::string& what, const std::string& database = "ember") {
    return server().value(
        "SELECT coalesce(string_agg(x, ' ' ORDER BY x), '') FROM (SELECT relname::text x FROM pg_class JOIN "
        "pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'app') AND relkind IN (" +
            what + ")) t",
        database);
  }
  // What the planner knows nothing of, of all that has rows.
  static std::string without_statistics() {
    return server().value(
        "SELECT coalesce(string_agg(x, ' '), '') FROM (SELECT unnest(ARRAY['users', 'notes', 'odd name', "
        "'parts', 'parts_1', 'counted', 'gated', 'gated_idx']) x EXCEPT SELECT tablename::text FROM pg_stats "
        "UNION ALL SELECT stxname::text FROM pg_statistic_ext WHERE oid NOT IN (SELECT stxoid FROM "
        "pg_statistic_ext_data)) t",
        "ember");
  }
  static std::string fresh() {
    const auto names = databases();
    const auto found = std::find_if(names.begin(), names.end(),
                                    [](const std::string& name) { return name.starts_with("relight_2"); });
    return found == names.end() ? "" : *found;
  }
};

}  // namespace

TEST_CASE("a part of a dump is restored with what belongs to it and what it needs") {
  const Linked bench;
  const auto restored = [&](const std::string& choice) {
    sys::remove_file(bench.notes);
    const Preview preview = bench.preview(choice);
    CHECK(preview.problems.empty());
    bench.apply(choice);
    std::string found = Linked::there("'r', 'p', 'v', 'm'");
    CHECK(preview.hints.size() <= 1);
    if (!preview.hints.empty()) found += " | " + preview.hints[0];
    return found;
  };
  const std::string left = " | left out, as they need what is not restored: ";
  CHECK(restored(R"("only":["public.notes"])") ==
        "notes" + left + "FK CONSTRAINT public.notes notes_by_fkey, the large objects");
  CHECK(server().value("SELECT count(*) FROM notes", "ember") == "300");
  CHECK(Linked::there("'i'") == "notes_body_key notes_pkey");
  CHECK(server().value("SELECT nextval('notes_id_seq')", "ember") == "301");
  CHECK(server().value("SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE NOT tgisinternal", "ember") ==
        "stamp");
  CHECK(server().value("SELECT has_table_privilege('ember', 'notes', 'SELECT')", "ember") == "t");
  bench.undo();

  CHECK(restored(R"("only":["seen"])").starts_with("notes seen |"));
  bench.undo();
  CHECK(restored(R"("only":["app"])").starts_with("users |") == false);  // its policy asks notes
  CHECK(server().value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", "ember") == "1");
  bench.undo();
  CHECK(restored(R"("only":["parts"])") == "parts parts_1 parts_2" + left + "the large objects");
  CHECK(server().value("SELECT count(*) FROM parts", "ember") == "19");
  bench.undo();
  CHECK(restored(R"("only":["parts_1"])") == "parts parts_1" + left + "the large objects");
  CHECK(server().value("SELECT count(*) FROM parts", "ember") == "9");
  bench.undo();
  CHECK(restored(R"("exclude":["app"])") ==
        "gated notes nothing odd name parts parts_1 parts_2 seen" + left +
            "MATERIALIZED VIEW public.counted, FK CONSTRAINT public.notes notes_by_fkey");
  CHECK(server().value("SELECT count(*) FROM pg_largeobject", "ember") == "1");
  bench.undo();
  CHECK(restored(R"("only":["public"],"exclude":["notes","odd name"])")
            .starts_with("counted gated nothing parts parts_1 parts_2 users | left out"));
  bench.undo();
}

TEST_CASE("a name that the dump does not hold is told with a near one; a plain dump has no parts") {
  Linked bench;
  const Preview preview = bench.preview(R"("only":["public.nots","users"],"exclude":["zebra"])");
  REQUIRE(preview.problems.size() == 2);
  CHECK(preview.problems[0].what == "the dump does not hold what is named");
  CHECK(preview.problems[0].why == "public.nots (public.notes?)");
  CHECK(preview.problems[1].why == "zebra");
  CHECK(bench.refusal(R"("only":["public.nots"])").kind == ErrorKind::refused);

  const Linked plain({"--format=plain"});
  REQUIRE(plain.preview(R"("only":["notes"])").problems.size() == 1);
  CHECK(plain.preview(R"("only":["notes"])").problems[0].what == "a plain dump cannot be restored in part");
}

TEST_CASE("a restore that failed goes on with the items that it has not yet") {
  for (const char* form : {"--format=custom", "--format=directory", "--format=tar"}) {
    CAPTURE(form);
    const Linked bench({form});
    bench.apply();
    const std::string whole = bench.state();
    CHECK(Linked::without_statistics() == "");
    bench.undo();
    sys::remove_file(bench.notes);
    const std::string before = bench.state();

    server().execute("ALTER ROLE postgres SET relight.gate TO 'shut'");
    const Error error = bench.refusal();
    CHECK(error.on == bench.dump + ", INDEX public gated_idx postgres");
    CHECK(error.why.find("the gate is shut") != std::string::npos);
    CHECK(error.hint.find("goes on with what is loaded") != std::string::npos);
    CHECK(bench.state() == before);
    const std::string fresh = Linked::fresh();
    REQUIRE_FALSE(fresh.empty());
    const std::string rows = "SELECT xmin::text || ' ' || count(*) FROM gated GROUP BY xmin";
    const std::string loaded = server().value(rows, fresh);
    CHECK(loaded.ends_with(" 9"));
    // What a COPY that was cut off leaves: a file without a row in it.
    server().execute("DELETE FROM \"odd name\"", fresh);

    server().execute("ALTER ROLE postgres SET relight.gate TO 'open'");
    bench.apply();
    CHECK(bench.state() == whole);
    CHECK(server().value(rows, "ember") == loaded);
    CHECK(Linked::without_statistics() == "");
    bench.undo();
    CHECK(bench.state() == before);
    CHECK(DumpBench::databases() == plain_databases);
  }
}

TEST_CASE("a run that is given up tells how to find and remove what its failed restore has left") {
  const Linked restored;
  server().execute("ALTER ROLE postgres SET relight.gate TO 'shut'");
  const relight::Bench bench;
  const relight::Ran ran =
      bench.run("runbook \"restore\" {}\npostgres.restore \"database\" { dump = \"" + restored.dump +
                "\", database = \"ember\", server = \"" + server().conninfo() + "\" }\n");
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 1);
  const std::string run = bench.status()["run"], fresh = Linked::fresh();
  const relight::Ran given_up = bench.relight({"abandon", run});
  INFO(given_up.out, given_up.err);
  CHECK(given_up.exit == 0);
  const std::string told = relight::flat(given_up.out);
  CHECK(
      told.find("begun and not taken back: database; what was made beside the targets stays, too: remove the "
                "hidden folders and databases whose names hold " +
                run) != std::string::npos);
  CHECK(fresh.find(run) != std::string::npos);
  server().execute("DROP DATABASE \"" + fresh + "\"");
  CHECK(DumpBench::databases() == plain_databases);
}

TEST_CASE("a restore killed between its goes loses none of them and repeats none") {
  const Linked bench;
  bench.apply();
  const std::string whole = bench.state();
  bench.undo();
  const std::string made = "SELECT oid FROM pg_database WHERE datname ";
  for (const char* point : {"postgres.restore:defined", "postgres.restore:indexed", "postgres.restore:rest",
                            "postgres.restore:loaded"}) {
    CAPTURE(point);
    sys::remove_file(bench.notes);
    REQUIRE(killed_at(point, [&] { bench.apply(); }));
    const std::string number = server().value(made + "LIKE 'relight\\_2%'");
    bench.apply();
    CHECK(bench.state() == whole);
    CHECK((server().value(made + "= 'ember'") == number) ==
          (point != std::string("postgres.restore:defined")));
    bench.undo();
  }
  CHECK(DumpBench::databases() == plain_databases);
}

TEST_CASE("rows that tell nothing of the others are loaded anew") {
  const std::string rows = "SELECT count(*) FROM notes";
  {
    const Linked inserts({"--format=custom", "--inserts"});
    REQUIRE(killed_at("postgres.restore:indexed", [&] { inserts.apply(); }));
    server().execute("DELETE FROM notes WHERE id > 1", Linked::fresh());
    inserts.apply();
    CHECK(server().value(rows, "ember") == "300");
    inserts.undo();
  }
  const Linked bench;
  // A dump with other items than the one that the database beside was made of.
  REQUIRE(killed_at("postgres.restore:indexed", [&] { bench.apply(R"("exclude":["gated"])"); }));
  bench.apply();
  CHECK(server().value("SELECT count(*) FROM gated", "ember") == "9");
  bench.undo();
}

TEST_CASE("the roles that a server lacks are made of globals, and taken away by undo") {
  const Linked bench;
  server().execute(
      "CREATE ROLE gone_owner; CREATE ROLE \"gone App\" LOGIN PASSWORD 'sesame-open-1' CONNECTION LIMIT 3;"
      "GRANT gone_owner TO \"gone App\"; ALTER ROLE \"gone App\" SET work_mem TO '7MB';"
      "COMMENT ON ROLE gone_owner IS 'it''s'");
  server().execute("ALTER TABLE notes OWNER TO gone_owner", "ember");
  const std::string globals = bench.root + "/globals.sql", made = server().folder() + "/linked";
  sys::write_file(globals, server().run("pg_dumpall", {"--globals-only"}), 0644);
  sys::remove_tree(made);
  server().run("pg_dump", {"--format=custom", "--file=" + made, "ember"});
  sys::remove_tree(bench.dump);
  sys::copy_tree(made, bench.dump);
  const std::string hash = server().value("SELECT rolpassword FROM pg_authid WHERE rolname = 'gone App'");
  server().execute("DROP DATABASE ember WITH (FORCE)");
  server().execute("DROP ROLE \"gone App\"; DROP ROLE gone_owner");
  CHECK(bench.refusal().why == "gone_owner");

  const std::string more = R"("globals":")" + globals + "\"";
  const Preview preview = bench.preview(more);
  CHECK(preview.verdict == Preview::Verdict::would_change);
  REQUIRE(preview.hints.size() == 1);
  CHECK(preview.hints[0] == "roles that are made as `globals` says: gone App, gone_owner");
  DurableCall call = bench.call();
  server().execute("ALTER SYSTEM SET log_statement TO 'all'");
  server().reload();
  bench.step->apply(TestParams(bench.type, bench.json(more)), call);
  server().execute("ALTER SYSTEM RESET log_statement");
  server().reload();
  CHECK(server().value("SELECT rolpassword FROM pg_authid WHERE rolname = 'gone App'") == hash);
  CHECK(server().value("SELECT concat_ws(' ', rolcanlogin, rolconnlimit, rolconfig, pg_has_role('gone App', "
                       "'gone_owner', 'MEMBER'), shobj_description('gone_owner'::regrole, 'pg_authid')) FROM "
                       "pg_roles WHERE rolname = 'gone App'") == "t 3 {work_mem=7MB} t it's");
  for (const std::string& text :
       {sys::join(call.lines, "\n"), call.notes().dump(), sys::read_file(server().log())})
    CHECK(text.find(hash) == std::string::npos);
  bench.undo(more);
  CHECK(server().value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gone%'") == "0");
  bench.undo(more);

  sys::write_file(globals, "SELECT 1;\n", 0644);
  CHECK(bench.preview(more).problems[0].what == "cannot take roles from the file");
}
