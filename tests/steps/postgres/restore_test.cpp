#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/crash.h"
#include "tests/support/postgres.h"

using namespace relight;

namespace {

Postgres& server() {
  static Postgres postgres;
  return postgres;
}

// A database with properties of its own, its dump in every form, and then other rows in it.
struct Bench {
  sys::TempFolder temp;
  std::string root = temp.path(), notes = root + "/notes", dump = root + "/ember.dump";
  const StepType& type = type_named("postgres.restore");
  std::unique_ptr<Step> step = type.make();

  explicit Bench(const std::string& forms = "custom") {
    Postgres& pg = server();
    clear();
    pg.execute("CREATE ROLE ember LOGIN");
    pg.execute("CREATE ROLE \"Reader One\"");
    pg.execute(
        "CREATE DATABASE ember OWNER ember TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE "
        "'C.UTF-8'");
    pg.execute(
        "ALTER DATABASE ember CONNECTION LIMIT 77; ALTER DATABASE ember SET search_path TO \"$user\", "
        "public, \"odd, one\";"
        "ALTER DATABASE ember SET work_mem TO '7MB'; ALTER DATABASE ember SET app.name TO 'it''s';"
        "ALTER ROLE ember IN DATABASE ember SET statement_timeout TO '9s';"
        "COMMENT ON DATABASE ember IS 'the service''s own'; REVOKE CONNECT ON DATABASE ember FROM PUBLIC;"
        "GRANT CONNECT ON DATABASE ember TO \"Reader One\" WITH GRANT OPTION");
    pg.execute(
        "CREATE EXTENSION pgcrypto; CREATE TABLE notes (id bigserial PRIMARY KEY, body text NOT NULL, at "
        "timestamptz DEFAULT "
        "'2026-01-01Z'); INSERT INTO notes (body) SELECT 'note ' || i || E'\\t\\\\ \\n' FROM "
        "generate_series(1, 500) i;"
        "CREATE TABLE parts (id int, name text) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF "
        "parts FOR VALUES "
        "FROM (0) TO (10); INSERT INTO parts VALUES (1, 'one'), (2, NULL); CREATE VIEW seen AS SELECT body "
        "FROM notes;"
        "CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a * 2; SELECT a * 2; END;"
        "ALTER TABLE notes OWNER TO ember; GRANT SELECT ON notes TO \"Reader One\"; SELECT lo_from_bytea(0, "
        "'large')",
        "ember");
    sys::make_folders(root);
    for (const std::string form : {"custom", "directory", "tar", "plain"}) {
      if (forms.find(form) == std::string::npos) continue;
      const std::string made = server().folder() + "/made";
      sys::remove_tree(made);
      pg.run("pg_dump", {"--format=" + form, "--file=" + made, "ember"});
      sys::copy_tree(made, form == "custom" ? dump : root + "/ember." + form);
    }
    pg.execute("DELETE FROM notes WHERE id > 10; UPDATE notes SET body = 'later'; CREATE TABLE newer (a int)",
               "ember");
  }
  ~Bench() { clear(); }

  static std::vector<std::string> databases() {
    std::vector<std::string> names;
    for (const auto& row : server().connect().query("SELECT datname FROM pg_database ORDER BY 1").rows)
      names.push_back(*row[0]);
    return names;
  }
  static void clear() {
    sys::Sql sql = server().connect();
    for (const std::string& name : databases())
      if (name != "postgres" && !name.starts_with("template")) {
        sql.execute("ALTER DATABASE " + sys::quote_identifier(name) + " IS_TEMPLATE false");
        sql.execute("DROP DATABASE " + sys::quote_identifier(name) + " WITH (FORCE)");
      }
    sql.execute("DROP ROLE IF EXISTS ember");
    sql.execute("DROP ROLE IF EXISTS \"Reader One\"");
  }
  std::string json(const std::string& more = "") const {
    return R"({"dump":")" + dump + R"(","database":"ember","server":")" + server().conninfo() + "\"" +
           (more.empty() ? "" : "," + more) + "}";
  }
  DurableCall call() const { return DurableCall("database", notes); }
  Preview preview(const std::string& more = "", bool full = false) const {
    DurableCall now = call();
    now.preview_only = true;
    now.full = full;
    return step->preview(TestParams(type, json(more)), now);
  }
  Json apply(const std::string& more = "") const {
    DurableCall now = call();
    return step->apply(TestParams(type, json(more)), now);
  }
  void undo(const std::string& more = "") const {
    DurableCall now = call();
    step->undo(TestParams(type, json(more)), now, nullptr);
  }
  std::string state() const {
    DurableCall now = call();
    return step->state_digest(TestParams(type, json()), now);
  }
  Error refusal(const std::string& more = "") const {
    try {
      apply(more);
    } catch (const Error& error) {
      return error;
    }
    FAIL("nothing was refused");
    return Error(ErrorKind::permanent, "", "", "");
  }
  static void check_rows() {
    CHECK(server().value(
              "SELECT count(*) FROM notes WHERE body LIKE 'note %' AND position(E'\\t\\\\ \\n' in body) > 0",
              "ember") == "500");
    CHECK(server().value("SELECT count(*) FROM parts", "ember") == "2");
    CHECK(server().value("SELECT to_regclass('newer') IS NULL", "ember") == "t");
    CHECK(server().value("SELECT nextval('notes_id_seq')", "ember") == "501");
    CHECK(server().value("SELECT twice(4)", "ember") == "8");
    CHECK(server().value("SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata", "ember") ==
          "large");
  }
  // Everything of a database that is no content.
  static std::string properties() {
    return server().value(
        "SELECT concat_ws(' | ', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, "
        "datctype, datconnlimit, "
        "datallowconn, datistemplate, shobj_description(oid, 'pg_database'), (SELECT string_agg(x::text, ',' "
        "ORDER BY x::text) "
        "FROM unnest(datacl) x), (SELECT string_agg(setrole::regrole::text || c, ';' ORDER BY c) FROM "
        "pg_db_role_setting, "
        "unnest(setconfig) c WHERE setdatabase = d.oid AND c NOT LIKE 'relight.mark%')) FROM pg_database d "
        "WHERE datname = 'ember'");
  }
};

const std::vector<std::string> plain_databases{"ember", "postgres", "template0", "template1"};

}  // namespace

TEST_CASE("a dump of every form is restored in place of the database there, which is kept and comes back") {
  Bench bench("custom directory tar plain");
  const std::string before = bench.state(), properties = Bench::properties();
  CHECK(properties.find("ember | UTF8 | C | C.UTF-8 | 77 | t | f | the service's own") == 0);
  const std::string custom = bench.dump;
  std::string after;
  for (const std::string& dump :
       {custom, bench.root + "/ember.directory", bench.root + "/ember.tar", bench.root + "/ember.plain"}) {
    CAPTURE(dump);
    bench.dump = dump;
    sys::remove_file(bench.notes);
    for (const bool full : {false, true}) {
      const Preview preview = bench.preview("", full);
      CAPTURE(preview.summary);
      CHECK(preview.verdict == Preview::Verdict::would_change);
      for (const Problem& problem : preview.problems) FAIL(problem.what, problem.on, problem.why);
      CHECK(preview.hints.empty());
      CHECK(preview.summary.find("PostgreSQL 15.") != std::string::npos);
      CHECK(preview.summary.find("3 tables") != std::string::npos);
      CHECK(preview.keeps.size() == 1);
      CHECK(preview.space.size() == 1);
    }
    CHECK(bench.state() == before);
    CHECK(Bench::databases() == plain_databases);

    const Json outputs = bench.apply();
    CHECK(outputs["tables"] == 3);
    CHECK(outputs["database"] == "ember");
    CHECK(outputs["bytes"] > 0);
    CHECK(sys::Sql(outputs["url"].get<std::string>()).query("SELECT current_database()").one() == "ember");
    CHECK(Bench::properties() == properties);
    if (after.empty()) after = bench.state();
    CHECK(bench.state() == after);
    CHECK(after != before);
    CHECK(bench.apply() == outputs);
    CHECK(bench.state() == after);
    CHECK(bench.preview().verdict == Preview::Verdict::nothing_to_do);
    Bench::check_rows();

    bench.undo();
    CHECK(bench.state() == before);
    CHECK(Bench::properties() == properties);
    CHECK(Bench::databases() == plain_databases);
    bench.undo();
    CHECK(bench.state() == before);
  }
}

TEST_CASE("a database that is not there is made as its dump says, and is gone after undo") {
  Bench bench;
  const std::string dumped = Bench::properties();
  server().execute("DROP DATABASE ember");
  CHECK(bench.state() == "absent");
  CHECK(bench.preview().problems.empty());
  CHECK(bench.preview().keeps.empty());
  bench.apply();
  Bench::check_rows();
  CHECK(Bench::properties() == dumped);
  bench.undo();
  CHECK(bench.state() == "absent");

  sys::remove_file(bench.notes);
  bench.apply(R"("owner":"Reader One")");
  CHECK(Bench::properties().find("Reader One | UTF8 | C | C.UTF-8 | 77") == 0);
}

TEST_CASE("killed at every failpoint and applied again, the database is the same; undone, it is as before") {
  const Bench bench;
  const std::string before = bench.state();
  const std::vector<std::string> names = failpoints_of([&] { bench.apply(); });
  const std::string after = bench.state();
  bench.undo();
  REQUIRE(names.size() >= 9);
  for (const std::string& name : names) {
    CAPTURE(name);
    sys::remove_file(bench.notes);
    REQUIRE(killed_at(name, [&] { bench.apply(); }));
    bench.apply();
    CHECK(bench.state() == after);
    bench.undo();

    sys::remove_file(bench.notes);
    REQUIRE(killed_at(name, [&] { bench.apply(); }));
    bench.undo();
    CHECK(bench.state() == before);
    CHECK(Bench::databases() == plain_databases);
  }
}

TEST_CASE("an undo that is killed is undone again") {
  const Bench bench;
  const std::string before = bench.state();
  bench.apply();
  const std::vector<std::string> names = failpoints_of([&] { bench.undo(); });
  REQUIRE(names.size() >= 5);
  for (const std::string& name : names) {
    CAPTURE(name);
    sys::remove_file(bench.notes);
    bench.apply();
    REQUIRE(killed_at(name, [&] { bench.undo(); }));
    bench.undo();
    CHECK(bench.state() == before);
    CHECK(Bench::databases() == plain_databases);
  }
}

TEST_CASE("a dump that is cut off is refused by the plan and by the step") {
  Bench bench("custom directory tar plain");
  const std::string before = bench.state(), custom = bench.dump;
  const auto refused = [&](bool full = false) {
    CHECK_FALSE(bench.preview("", full).problems.empty());
    if (full) return;
    const Error error = bench.refusal();
    CHECK(error.kind == ErrorKind::refused);
    CHECK_FALSE(error.hint.empty());
    CHECK(bench.state() == before);
    CHECK(Bench::databases() == plain_databases);
  };
  for (const std::string& form : {std::string("dump"), std::string("tar"), std::string("plain")}) {
    const std::string bytes = sys::read_file(bench.root + "/ember." + form);
    for (const double part : {0.0, 0.02, 0.6, 0.97}) {
      CAPTURE(form);
      CAPTURE(part);
      bench.dump = bench.root + "/short." + form;
      sys::write_file(bench.dump,
                      bytes.substr(0, static_cast<std::size_t>(static_cast<double>(bytes.size()) * part)),
                      0644);
      refused();
    }
  }
  bench.dump = bench.root + "/ember.directory";
  std::vector<std::string> files;
  sys::walk(bench.dump, [&](const sys::Entry& entry) {
    if (entry.path.ends_with(".dat.gz")) files.push_back(bench.dump + "/" + entry.path);
  });
  REQUIRE_FALSE(files.empty());
  const std::string bytes = sys::read_file(files[0]);
  sys::write_file(files[0], bytes.substr(0, bytes.size() / 2), 0644);
  refused(true);
  sys::remove_file(files[0]);
  refused();
}

TEST_CASE("a dump that breaks while it is restored fails with its own lines, and nothing is replaced") {
  Bench bench("custom plain");
  const std::string before = bench.state();
  std::string text = sys::read_file(bench.root + "/ember.plain");
  const std::size_t at = text.find("CREATE VIEW");
  REQUIRE(at != std::string::npos);
  const auto line = 2 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  text.insert(at, "SELECT 1;\nSELECT broken_thing();\n");
  bench.dump = bench.root + "/broken.sql";
  sys::write_file(bench.dump, text, 0644);
  CHECK(bench.preview().problems.empty());
  const Error error = bench.refusal();
  CHECK(error.kind == ErrorKind::permanent);
  CAPTURE(error.why);
  CHECK(error.why.find("broken.sql:" + std::to_string(line) +
                       ": ERROR:  function broken_thing() does not exist") != std::string::npos);
  CHECK(bench.state() == before);
  CHECK(Bench::databases() == plain_databases);

  // A flipped byte in the compressed rows of a custom dump: the table of contents is whole.
  std::string bytes = sys::read_file(bench.root + "/ember.dump");
  const std::size_t zlib = bytes.find("\x78\x9c");
  REQUIRE(zlib != std::string::npos);
  bytes[zlib + 40] = static_cast<char>(bytes[zlib + 40] ^ 0x10);
  bench.dump = bench.root + "/flipped.dump";
  sys::write_file(bench.dump, bytes, 0644);
  sys::remove_file(bench.notes);
  CHECK_FALSE(bench.preview("", true).problems.empty());
  CHECK_FALSE(bench.refusal().why.empty());
  CHECK(bench.state() == before);
  CHECK(Bench::databases() == plain_databases);
}

TEST_CASE("a hostile plain dump is refused with its lines, and not a line of it is run") {
  Bench bench("plain");
  const std::string before = bench.state(), whole = sys::read_file(bench.root + "/ember.plain");
  const std::string hostages = bench.root + "/run";
  for (const std::string& evil :
       {std::string("\\connect postgres"), "\\! touch " + hostages, std::string("\\i /etc/passwd"),
        "\\copy notes from program 'touch " + hostages + "'",
        "COPY notes FROM PROGRAM 'touch " + hostages + "';", std::string("DROP DATABASE ember;"),
        std::string("CREATE DATABASE other;"), std::string("ALTER ROLE ember SUPERUSER;")}) {
    CAPTURE(evil);
    bench.dump = bench.root + "/evil.sql";
    sys::write_file(bench.dump, evil + "\n" + whole + evil + "\n", 0644);
    const Preview preview = bench.preview();
    REQUIRE(preview.problems.size() == 2);
    CHECK(preview.problems[0].on == bench.dump + ":1");
    CHECK_FALSE(preview.problems[0].hint.empty());
    CHECK(bench.refusal().kind == ErrorKind::refused);
    CHECK_FALSE(sys::exists(hostages));
    CHECK(bench.state() == before);
    CHECK(Bench::databases() == plain_databases);
  }
}

TEST_CASE("the CR LF of docker exec -t is mended") {
  Bench bench("plain");
  std::string text = sys::read_file(bench.root + "/ember.plain"), crlf;
  for (const char c : text) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  bench.dump = bench.root + "/crlf.sql";
  sys::write_file(bench.dump, crlf, 0644);
  CHECK(bench.preview().problems.empty());
  bench.apply();
  Bench::check_rows();
}

TEST_CASE("an open session fails the step and is named; with end_sessions it is ended") {
  Bench bench;
  const std::string before = bench.state();
  {
    sys::Sql open(server().conninfo("ember"), {{"application_name", "the app"}});
    const Preview preview = bench.preview();
    REQUIRE(preview.hints.size() == 1);
    CHECK(preview.hints[0].find("(the app)") != std::string::npos);
    const Error error = bench.refusal();
    CHECK(error.failed == "the database is in use, so its name cannot be changed");
    CHECK(error.why.find("postgres (the app), idle") != std::string::npos);
    CHECK(error.hint.find("end_sessions = true") != std::string::npos);
    CHECK(open.query("SELECT 1").one() == "1");
    CHECK(bench.state() == before);
    bench.undo();
    CHECK(Bench::databases() == plain_databases);
  }
  sys::remove_file(bench.notes);
  {
    sys::Sql open(server().conninfo("ember"));
    bench.apply(R"("end_sessions":true)");
    CHECK_THROWS_AS(open.query("SELECT 1"), Error);
  }
  Bench::check_rows();
  {
    sys::Sql open(server().conninfo("ember"));
    CHECK_THROWS_AS(bench.undo(), Error);
    CHECK(open.query("SELECT 1").one() == "1");
    bench.undo(R"("end_sessions":true)");
  }
  CHECK(bench.state() == before);
}

TEST_CASE("what the server lacks is told by the plan") {
  Bench bench("plain");
  bench.dump = bench.root + "/ember.plain";
  std::string text = sys::read_file(bench.dump);
  text.insert(
      text.find("CREATE VIEW"),
      "CREATE EXTENSION vector;\nALTER TABLE notes OWNER TO nobody_here;\nSET default_tablespace = fast;\n");
  sys::write_file(bench.dump, text, 0644);
  const Preview preview = bench.preview(R"("owner":"no_owner")");
  std::vector<std::string> lacking;
  for (const Problem& problem : preview.problems) lacking.push_back(problem.why);
  CHECK(lacking == std::vector<std::string>{"vector", "fast"});
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  REQUIRE(preview.hints.size() == 2);
  CHECK(preview.hints[1] ==
        "the role nobody_here is not there yet: an earlier step must make it (CREATE ROLE \"nobody_here\" "
        "LOGIN)");
  const std::string before = bench.state();
  const Error error = bench.refusal();
  CHECK(error.kind == ErrorKind::refused);
  CHECK(error.why == "nobody_here");
  CHECK(error.hint == "make it before this step: CREATE ROLE \"nobody_here\" LOGIN");
  CHECK(bench.state() == before);

  sys::write_file(bench.dump, "gone", 0644);
  CHECK(bench.preview().hints.size() == 2);
  sys::write_file(bench.dump, "\x1f\x8b", 0644);
  REQUIRE(bench.preview().problems.size() == 1);
  CHECK(bench.preview().problems[0].why == "it is compressed by gzip");
}

TEST_CASE("a server that is not there yet leaves the plan open; a password in plain text is refused") {
  const Bench bench;
  DurableCall call = bench.call();
  call.preview_only = true;
  const std::string start = R"({"dump":")" + bench.dump + R"(","database":"ember","server":")";
  const Preview preview =
      bench.step->preview(TestParams(bench.type, start + "host=" + bench.root + "\"}"), call);
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(preview.problems.empty());
  CHECK(preview.summary.find("3 tables") != std::string::npos);

  const Preview told =
      bench.step->preview(TestParams(bench.type, start + "postgresql://u:sesame-open@127.0.0.1/\"}"), call);
  REQUIRE(told.problems.size() == 1);
  CHECK(told.problems[0].what == "a password in plain text");
  CHECK(told.problems[0].why.find("sesame") == std::string::npos);
}

TEST_CASE("settle ends what an earlier attempt left on the server, and nothing else") {
  const Bench bench;
  REQUIRE(killed_at("postgres.restore:made", [&] { bench.apply(); }));
  const std::string session = "relight/20261121-102600-test/database";
  sys::Sql left(server().conninfo("postgres"), {{"application_name", session}});
  sys::Sql other(server().conninfo("postgres"), {{"application_name", session + "s"}});
  DurableCall call = bench.call();
  bench.step->settle(TestParams(bench.type, bench.json()), call);
  CHECK_THROWS_AS(left.query("SELECT 1"), Error);
  CHECK(other.query("SELECT 1").one() == "1");
}

TEST_CASE("the kept database is told, and freed by discard") {
  const Bench bench;
  bench.apply();
  DurableCall call = bench.call();
  const TestParams params(bench.type, bench.json());
  const Json kept = bench.step->kept(params, call, nullptr);
  REQUIRE(kept.size() == 1);
  CHECK(kept[0]["on"] == "database relight_old_20261121-102600-test_database");
  CHECK(kept[0]["bytes"] > 0);
  const std::string after = bench.state();
  bench.step->discard(params, call, nullptr);
  bench.step->discard(params, call, nullptr);
  CHECK(bench.step->kept(params, call, nullptr).empty());
  CHECK(Bench::databases() == plain_databases);
  CHECK(bench.state() == after);
  CHECK(server().value(
            "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) c WHERE c LIKE 'relight%'") == "0");
}
