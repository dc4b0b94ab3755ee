// A server with a database, its dumps, and the step postgres.restore on them.
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/crash.h"
#include "tests/support/postgres.h"

namespace relight::dumps {

inline Postgres& server() {
  static Postgres postgres;
  return postgres;
}

// A database with properties of its own, its dump in every form, and then other rows in it.
struct DumpBench {
  sys::TempFolder temp;
  std::string root = temp.path(), notes = root + "/notes", dump = root + "/ember.dump";
  const StepType& type = type_named("postgres.restore");
  std::unique_ptr<Step> step = type.make();

  explicit DumpBench(const std::string& forms = "custom") {
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
  ~DumpBench() { clear(); }

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

inline const std::vector<std::string> plain_databases{"ember", "postgres", "template0", "template1"};

}  // namespace relight::dumps
