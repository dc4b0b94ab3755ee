#include <doctest/doctest.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/postgres.h"

using namespace relight;

namespace {

// One server for all cases, with a template of the database that each of them finds, and its dump.
struct Prepared {
  Prepared() {
    server.execute("create role ember login; create role reader");
    server.execute("create database contract_old owner ember");
    server.execute(
        "create table notes (id serial primary key, body text); alter table notes owner to ember;"
        "insert into notes (body) select 'note ' || i from generate_series(1, 200) i;"
        "create view seen as select body from notes; grant select on notes to reader",
        "contract_old");
    server.run("pg_dump", {"--format=custom", "--file=" + dump(), "contract_old"});
    server.execute("delete from notes where id > 7; create table newer (a int)", "contract_old");
    server.run("pg_dump", {"--format=custom", "--file=" + dump_of_old(), "contract_old"});
  }
  std::string dump() const { return server.folder() + "/ember.dump"; }
  std::string dump_of_old() const { return server.folder() + "/old.dump"; }
  Postgres server;
};

const Prepared& prepared() {
  static const Prepared one;
  return one;
}

const Postgres& server() {
  return prepared().server;
}

struct NoDatabase : Fixture {
  NoDatabase() { clear(); }
  ~NoDatabase() override { clear(); }
  Json params() const override {
    return {{"dump", prepared().dump()}, {"database", "ember"}, {"server", server().conninfo()}};
  }

  // Every database with what belongs to it; their contents by the rows of their tables.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    const auto rows =
        server()
            .connect()
            .query(
                "select datname, concat_ws(' ', pg_get_userbyid(datdba), datconnlimit, datallowconn, "
                "datistemplate, datacl, shobj_description(oid, 'pg_database'), (select "
                "string_agg(setrole::text || c, ';' order by c) from pg_db_role_setting, unnest(setconfig) "
                "c where setdatabase = d.oid)), oid from pg_database d")
            .rows;
    for (const auto& row : rows) {
      std::string& text = look["database " + *row[0]] = *row[1];
      if (exact) text += " " + *row[2];
      if (row[0]->starts_with("ember"))
        text += " " + server().value(
                          "select concat_ws(' ', to_regclass('newer'), count(*), min(body), "
                          "max(body)) from notes",
                          *row[0]);
    }
    return look;
  }
  // It names no port of the server's.
  Json steady(Json outputs) const override {
    outputs.erase("bytes");
    return outputs;
  }

 private:
  static void clear() {
    sys::Sql sql = server().connect();
    for (const auto& row :
         sql.query("select datname from pg_database where datname like 'ember%' or datname like '%relight%'")
             .rows) {
      sql.execute("alter database " + sys::quote_identifier(*row[0]) + " is_template false");
      sql.execute("drop database " + sys::quote_identifier(*row[0]) + " with (force)");
    }
  }
};

struct OldDatabase : NoDatabase {
  OldDatabase() {
    server().execute("create database ember owner ember template contract_old");
    server().execute(
        "alter database ember connection limit 77; alter database ember set work_mem to '7MB';"
        "alter role ember in database ember set statement_timeout to '9s';"
        "comment on database ember is 'the service''s own'; revoke connect on database ember from public;"
        "grant connect on database ember to reader with grant option");
  }
};

// The copy that an undo has put back is the database; what was it since lies under a hidden name.
struct KeepDatabase : OldDatabase {
  Json params() const override { return {{"database", "ember"}, {"server", server().conninfo()}}; }
  void forget_what_stays(Look& look) const override {
    std::erase_if(look, [](const auto& entry) { return entry.first.find("relight") != std::string::npos; });
    // Its mark, too: by it the next undo knows that it is the copy.
    std::string& text = look["database ember"];
    if (const auto at = text.find("0relight.mark"); at != std::string::npos)
      text.erase(at, text.find(';', at) + 1 - at);
  }
  bool digest_is_dear() const override { return true; }
  Json steady(Json) const override { return Json::object(); }
};

// Somebody has dropped the copy, and the backup stands in.
struct KeepGone : KeepDatabase {
  Json params() const override {
    Json params = KeepDatabase::params();
    params["dump"] = prepared().dump_of_old();
    return params;
  }
  void before_undo() const override {
    server().execute("drop database " + sys::quote_identifier(server().value(
                                            "select datname from pg_database where datname ~ '^relight_2'")));
    server().execute("insert into notes (body) values ('newer than the backup')", "ember");
  }
};

const Subjects restore{
    subject<KeepDatabase>("postgres.keep", "a database"),
    subject<KeepGone>("postgres.keep", "a database, from the backup", 12),
    subject<OldDatabase>("postgres.restore", "in place of a database", 12),
    subject<NoDatabase>("postgres.restore", "no database yet", 12),
};

}  // namespace

TEST_CASE("the contract of postgres.keep") {
  check_contract("postgres.keep");
}

TEST_CASE("the contract of postgres.restore") {
  check_contract("postgres.restore");
}
