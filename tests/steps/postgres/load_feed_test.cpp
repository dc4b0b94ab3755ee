// The rows of a dump that relight feeds itself: the same ones arrive as by pg_restore, or none and why.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/dump_file.h"
#include "tests/support/postgres.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// What makes a COPY other than the plain one.
constexpr const char* tables =
    "create schema \"an odd, one\"; create table \"an odd, one\".\"a \"\"b\"\" (c\" (\"d ( e\" int primary "
    "key, f text);"
    "insert into \"an odd, one\".\"a \"\"b\"\" (c\" select i, E'tab\\t back\\\\ line\\n null \\\\N end' || i "
    "from "
    "generate_series(1, 3000) i;"
    "create table none (i int); create table columnless (); insert into columnless select from "
    "generate_series(1, 5);"
    "create table generated (i int, twice int generated always as (i * 2) stored, n int generated always as "
    "identity);"
    "insert into generated (i) select generate_series(1, 50);"
    "create function small(i int) returns bool language sql immutable as 'select i < 100';"
    "create domain little as int check (small(value)); create table checked (v little, check (small(v)));"
    "insert into checked select generate_series(1, 99);"
    "create table parts (i int, t text) partition by hash (i);"
    "create table parts_0 partition of parts for values with (modulus 2, remainder 0);"
    "create table parts_1 partition of parts for values with (modulus 2, remainder 1);"
    "insert into parts select i, 'p' || i from generate_series(1, 400) i;"
    "create table parent (i int); create table child (j int) inherits (parent);"
    "insert into parent values (1); insert into child values (2, 3);"
    "create view seen as select * from generated; create table refers (e int references \"an odd, one\".\"a "
    "\"\"b\"\" (c\");"
    "insert into refers values (7);"
    "create table guarded (i int); alter table guarded enable row level security; insert into guarded values "
    "(1);"
    "create function never() returns trigger language plpgsql as $$ begin raise exception 'fired'; end $$;"
    "create trigger t before insert on guarded for each row execute function never();"
    "alter table guarded enable always trigger t; create unlogged table unlogged (i int);"
    "insert into unlogged values (4); select lo_from_bytea(0, 'large'); create sequence s start 40; select "
    "nextval('s')";

// Every row of the database, in a text. A view, a sequence and a large object among them.
constexpr const char* all_rows =
    "select md5(string_agg(t, ' ' order by t)) from ("
    "select 'o' || o::text as t from \"an odd, one\".\"a \"\"b\"\" (c\" o union all select 'g' || g::text "
    "from "
    "seen g union all select 'c' || c::text from checked c union all select 'p' || tableoid::regclass || "
    "p::text "
    "from parts p union all select 'i' || i::text || tableoid::regclass from parent i union all select 'r' "
    "|| "
    "r::text from refers r union all select 'u' || u::text from unlogged u union all select 'l' || "
    "count(*)::text from columnless union all select 'y' || y::text from guarded y union all select 's' || "
    "last_value::text from s union all select 'b' || data::text from pg_largeobject) all_of_them";

struct Dumped {
  Dumped() {
    work_in_memory();
    folder = std::make_unique<sys::TempFolder>();
    Postgres server;
    // A row that is longer in the database's encoding than in the dump's.
    server.execute("create database ember template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'");
    server.execute(tables, "ember");
    server.execute("insert into parts values (9999, E'h\\u00E4user')", "ember");
    rows = server.value(all_rows, "ember");
    const std::string made = server.folder() + "/made";
    const std::map<std::string, std::vector<std::string>> forms = {
        {"custom", {"--format=custom"}},
        {"directory", {"--format=directory"}},
        {"by-root", {"--format=custom", "--load-via-partition-root"}},
        {"inserts", {"--format=custom", "--inserts"}},
        {"latin", {"--format=custom", "--encoding=LATIN1"}},
        {"as-it-is", {"--format=custom", "--compress=0"}},
        {"files-as-they-are", {"--format=directory", "--compress=0"}},
        {"tar", {"--format=tar"}}};
    for (const auto& [form, options] : forms) {
      std::vector<std::string> arguments = options;
      arguments.insert(arguments.end(), {"--file=" + made, "ember"});
      server.run("pg_dump", arguments);
      sys::copy_tree(made, dump(form));
      sys::remove_tree(made);
    }
    sys::write_file(dump("piped"), server.run("pg_dump", {"--format=custom", "ember"}), 0644);
    give_to_postgres(folder->path());
  }
  std::string dump(const std::string& form) const { return folder->path() + "/ember." + form; }
  std::unique_ptr<sys::TempFolder> folder;
  std::string rows;
};

const Dumped& dumped() {
  static const Dumped one;
  return one;
}

RecoverAttempt attempt(const std::string& dump, Json more = Json::object()) {
  Json params = {{"dump", dump}, {"database", "ember"}, {"version", 15}, {"jobs", 2}};
  params.update(more);
  return RecoverAttempt(params, "20261122-102600-test", "postgres.load");
}

std::string value(const RecoverAttempt& load, const std::string& sql) {
  return value_in_stopped(load.data(), sql, "ember");
}

// A custom dump at `path`, in the folder of the others, of a database ember that `sql` fills.
void dump_of(const std::string& sql, const std::string& path) {
  Postgres server;
  server.execute("create database ember");
  server.execute(sql, "ember");
  server.run("pg_dump", {"--format=custom", "--file=" + server.folder() + "/made", "ember"});
  sys::copy_tree(server.folder() + "/made", path);
  give_to_postgres(dumped().folder->path());
}

bool pg_restore_brought(const RecoverAttempt& load, const std::string& table) {
  return load.log().find("processing data for table \"" + table + "\"") != std::string::npos;
}

}  // namespace

TEST_CASE("the rows of a dump of every form are the ones that were dumped") {
  struct Form {
    std::string name;
    bool fed, parts_fed;
  };
  for (const Form& form :
       {Form{"custom", true, true}, Form{"directory", true, true}, Form{"latin", true, true},
        Form{"by-root", true, false}, Form{"inserts", false, false}, Form{"as-it-is", false, false},
        Form{"files-as-they-are", false, false}, Form{"tar", false, false}, Form{"piped", false, false}}) {
    CAPTURE(form.name);
    const RecoverAttempt load = attempt(dumped().dump(form.name));
    REQUIRE(load.apply().error == "");
    CHECK(value(load, all_rows) == dumped().rows);
    CHECK(value(load, "select count(*) from pg_constraint where not convalidated") == "0");
    CHECK(pg_restore_brought(load, "public.generated") != form.fed);
    CHECK(pg_restore_brought(load, "public.parts_0") != form.parts_fed);
  }
}

TEST_CASE("a part of a dump is fed, and nothing else of it") {
  const RecoverAttempt load = attempt(dumped().dump("custom"), {{"only", {"public.generated"}}});
  REQUIRE(load.apply().error == "");
  CHECK(value(load, "select count(*) from generated") == "50");
  CHECK(value(load, "select count(*) from pg_class where relname in ('checked', 'parts')") == "0");
}

TEST_CASE("a dump of many small tables is decoded ahead by few open files, a dump by another name too") {
  const std::string many = dumped().folder->path() + "/many", other = many + ".link";
  dump_of(
      "do $$ begin for i in 1..400 loop execute format('create table t%s as select %s as i', i, i); end "
      "loop; end $$",
      many);
  REQUIRE(symlink(many.c_str(), other.c_str()) == 0);
  struct rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  struct rlimit few = before;
  few.rlim_cur = 256;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const RecoverAttempt load = attempt(other);
  const Outcome made = load.apply();
  setrlimit(RLIMIT_NOFILE, &before);
  REQUIRE(made.error == "");
  CHECK(made.value["tables"] == 400);
  CHECK(value(load, "select i from t400") == "400");
}

TEST_CASE("while one table takes long, the indexes of the others are built") {
  const std::string slow = dumped().folder->path() + "/slow";
  dump_of(
      "create function late(i int) returns bool language plpgsql as $$ begin if current_database() <> "
      "'ember' "
      "then perform pg_sleep(4); end if; return true; end $$;"
      "create table late (i int primary key check (late(i)), t text); insert into late values (1, "
      "(select string_agg(md5(i::text), '') from generate_series(1, 2000) i));"
      "create table quick (i int primary key); insert into quick values (1); create index built on quick "
      "(i);"
      "create table refers (i int references quick (i)); insert into refers values (1)",
      slow);
  const RecoverAttempt load = attempt(slow, {{"database", "other"}});
  REQUIRE(load.apply().error == "");
  const std::string log = load.log();
  std::vector<std::size_t> goes;
  for (std::size_t at = log.find("connecting to database for restore"); at != std::string::npos;
       at = log.find("connecting to database for restore", at + 1))
    goes.push_back(at);
  REQUIRE(goes.size() == 3);
  const auto second = log.substr(goes[1], goes[2] - goes[1]), last = log.substr(goes[2]);
  for (const char* built : {"public.built", "quick_pkey"})
    CHECK_MESSAGE(second.find(built) != std::string::npos, log);
  for (const char* built : {"late_pkey", "refers_i_fkey"})
    CHECK_MESSAGE(last.find(built) != std::string::npos, log);
  CHECK(value_in_stopped(load.data(),
                         "select count(*) from pg_constraint where connamespace = 'public'::regnamespace and "
                         "contype in ('p', 'f')",
                         "other") == "3");
}

TEST_CASE("rows that are damaged or refused are told with their table, and no cluster is made") {
  const std::string path = dumped().folder->path() + "/damaged";
  std::string bytes = sys::read_file(dumped().dump("custom"));
  postgres::DumpFile file(dumped().dump("custom"));
  const postgres::DumpHead head = file.head();
  CHECK(head.gzip);
  for (const postgres::DumpItem& item : file.contents(head))
    if (item.kind == "TABLE DATA" && item.schema == "an odd, one") bytes[item.place.value() + 500] ^= 1;
  sys::write_file(path, bytes, 0644);
  const RecoverAttempt damaged = attempt(path);
  CHECK(damaged.preview().value["problems"] == Json::array());
  const Outcome failed = damaged.apply();
  CHECK(failed.error.find(path + ", TABLE DATA an odd, one a \"b\" (c postgres: ") != std::string::npos);
  CHECK(failed.error.find("damaged") != std::string::npos);
  CHECK(failed.hint == "the dump is cut off or damaged: use another copy of it");
  CHECK_FALSE(sys::exists(damaged.data()));

  const std::string strict = dumped().folder->path() + "/strict";
  dump_of(
      "create table strict (i int check (i > 0 or current_database() = 'ember')); insert into strict "
      "values "
      "(1), (-1)",
      strict);
  const RecoverAttempt refused = attempt(strict, {{"database", "other"}});
  const Outcome no = refused.apply();
  const std::string told = no.error;
  CHECK(no.hint.find("makes the cluster anew") != std::string::npos);
  CHECK(told.find(strict + ", TABLE DATA public strict postgres: ") != std::string::npos);
  CHECK(told.find("violates check constraint") != std::string::npos);
  CHECK(told.find("COPY strict, line 2") != std::string::npos);
  CHECK_FALSE(sys::exists(refused.data()));
}
