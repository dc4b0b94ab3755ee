#include "runner/sys/sql.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/support/port.h"
#include "tests/support/postgres.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// One server for all of this file's cases.
Postgres& server() {
  static Postgres postgres;
  return postgres;
}

SqlError error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const SqlError& error) {
    return error;
  }
  return SqlError(Error(ErrorKind::permanent, "no error", "", ""), "");
}

std::string on(const std::string& database) {
  return server().socket_folder() + ":" + std::to_string(server().port()) + "/" + database;
}

}  // namespace

TEST_CASE("queries: values, NULL, parameters, no rows") {
  Sql sql(server().conninfo());
  const Rows rows =
      sql.query("select $1::int + 1 as next, $2 as text, null as nothing", {"41", "it's \\ h\xC3\xA4user"});
  CHECK(rows.columns == std::vector<std::string>{"next", "text", "nothing"});
  REQUIRE(rows.rows.size() == 1);
  CHECK(rows.one() == "42");
  CHECK(rows.rows[0][1] == "it's \\ h\xC3\xA4user");
  CHECK_FALSE(rows.rows[0][2]);
  sql.execute("create temp table t (a int); insert into t select generate_series(1, 20000)");
  CHECK(sql.query("select a from t").rows.size() == 20000);
  CHECK(sql.query("delete from t").rows.empty());
  CHECK(sql.query("").rows.empty());
  sql.execute("");
  CHECK(sql.query("select length($1)", {std::string(8 << 20, 'x')}).one() ==
        "8388608");  // more than a socket takes
}

TEST_CASE("rows that are copied in arrive whole, or none of them") {
  Sql sql(server().conninfo());
  sql.execute("create temp table t (a int, b text)");
  const auto copied = [&](std::vector<std::string> pieces, Sql& by) {
    std::size_t next = 0;
    by.copy_in("copy t from stdin",
               [&] { return next < pieces.size() ? std::string_view(pieces[next++]) : std::string_view(); });
  };
  copied({}, sql);
  copied({"1\ton", "e\n2\t\\N", "\n", "\\.\n\n\n"}, sql);
  CHECK(sql.query("select string_agg(a || coalesce(b, '-'), ' ' order by a) from t").one() == "1one 2-");
  copied(std::vector<std::string>(64, std::string(1u << 20, 'x').replace(0, 2, "3\t") + "\n"), sql);
  CHECK(sql.query("select sum(length(b)) from t where a = 3").one() == std::to_string(64 * ((1 << 20) - 2)));

  const SqlError refused = error_of([&] { copied({"4\tgood\n5\n"}, sql); });
  CHECK(refused.why.find("missing data for column") != std::string::npos);
  CHECK(refused.why.find("COPY t, line 2") != std::string::npos);
  CHECK(refused.kind == ErrorKind::permanent);
  CHECK(sql.query("select count(*) from t where a > 3").one() == "0");
  CHECK(error_of([&] { copied({"1\n"}, sql); }).sqlstate == "22P04");
  CHECK(error_of([&] { sql.copy_in("copy missing from stdin", [] { return ""; }); }).sqlstate == "42P01");

  // A source that fails gives the connection up, and the server all that has come.
  Sql other(server().conninfo());
  other.execute("create table lasting (a int)");
  int pieces = 0;
  const auto fails = [&]() -> std::string_view {
    if (++pieces == 3) throw std::runtime_error("it is damaged");
    return "1\n";
  };
  CHECK_THROWS_WITH(other.copy_in("copy lasting from stdin", fails), "it is damaged");
  CHECK(error_of([&] { other.execute("select 1"); }).why == "the connection was given up");
  CHECK(sql.query("select count(*) from lasting").one() == "0");
  sql.execute("drop table lasting");

  // Told to stop in the middle of it.
  Sql stopped(server().conninfo());
  stopped.execute("create temp table t (a int, b text)");
  stopped.stop_when([] { return true; });
  const std::string piece = std::string(1u << 20, 'x').replace(0, 2, "1\t") + "\n";
  CHECK(error_of([&] {
          stopped.copy_in("copy t from stdin", [&] { return std::string_view(piece); });
        }).why == "told to stop");
}

TEST_CASE("one: no row and NULL are told") {
  Sql sql(server().conninfo());
  CHECK_THROWS_WITH_AS(sql.query("select 1 where false").one(),
                       "cannot query the database: the answer: it holds no row", Error);
  CHECK_THROWS_WITH_AS(sql.query("select null").one(),
                       "cannot query the database: the answer: its first value is NULL", Error);
}

TEST_CASE("the server's message, detail, hint and SQLSTATE; the connection stays good") {
  Sql sql(server().conninfo());
  SqlError error = error_of([&] { sql.query("select * from absent"); });
  CHECK(std::string(error.what()) == "cannot query the database: " + on("postgres") +
                                         ": relation \"absent\" does not exist (SQLSTATE 42P01)");
  CHECK(error.sqlstate == "42P01");
  CHECK(error.kind == ErrorKind::permanent);
  error = error_of([&] { sql.query("select relnamespac from pg_class"); });
  CHECK(error.hint == "Perhaps you meant to reference the column \"pg_class.relnamespace\".");
  error = error_of([&] {
    sql.execute(
        "create temp table u (a int primary key); insert into u values (1); insert into u values (1)");
  });
  CHECK(error.why ==
        "duplicate key value violates unique constraint \"u_pkey\": Key (a)=(1) already exists. (SQLSTATE "
        "23505)");
  error = error_of([&] { sql.query("select 1; select 2"); });
  CHECK(error.sqlstate == "42601");
  error = error_of([&] { sql.execute("copy (select 1) to stdout"); });
  CHECK(error.why == "the statement wants to copy from or to the client");
}

TEST_CASE("statements that are waiting for a lock are transient when they give up") {
  Sql one(server().conninfo()), two(server().conninfo());
  one.execute("create table locked (a int)");
  one.execute("begin; lock table locked");
  const SqlError error = error_of([&] { two.execute("begin; lock table locked nowait"); });
  CHECK(error.sqlstate == "55P03");
  CHECK(error.kind == ErrorKind::transient);
  one.execute("rollback");
}

TEST_CASE("a server that is full of work may pass, one whose disk is full does not") {
  Sql sql(server().conninfo());
  const auto kind_of = [&](const std::string& state) {
    return error_of([&] { sql.execute("do $$ begin raise 'full' using errcode = '" + state + "'; end $$"); })
        .kind;
  };
  CHECK(kind_of("53300") == ErrorKind::transient);
  CHECK(kind_of("53100") == ErrorKind::permanent);
}

TEST_CASE("stop and timeout cancel the query on the server, and the connection can be used again") {
  Sql sql(server().conninfo(), {{"application_name", "to be stopped"}});
  const auto begun = Clock::now();
  sql.stop_when([&] { return Clock::now() - begun > 100ms; });
  SqlError error = error_of([&] { sql.query("select pg_sleep(100)"); });
  CHECK(error.why == "told to stop");
  CHECK(error.kind == ErrorKind::transient);
  CHECK(server().value("select count(*) from pg_stat_activity where state = 'active' and "
                       "application_name = 'to be stopped'") == "0");
  sql.stop_when({});
  CHECK(sql.query("select 1").one() == "1");

  sql.timeout(300ms);
  error = error_of([&] { sql.execute("select 1; select pg_sleep(100)"); });
  CHECK(error.why == "no answer within 0.3s");
  sql.timeout(0ms);
  CHECK(sql.query("select 1").one() == "1");

  struct Told {};
  sql.stop_when([]() -> bool { throw Told(); });
  CHECK_THROWS_AS(sql.query("select pg_sleep(100)"), Told);
  sql.stop_when({});
  CHECK(sql.query("select 1").one() == "1");
  CHECK(Clock::now() - begun < 30s);
}

TEST_CASE("a session that is ended by the server is a transient error, then and later") {
  Sql sql(server().conninfo());
  const std::string pid = sql.query("select pg_backend_pid()").one();
  server().value("select pg_terminate_backend(" + pid + ", 10000)");
  SqlError error = error_of([&] { sql.query("select 1"); });
  CHECK(error.kind == ErrorKind::transient);
  error = error_of([&] { sql.query("select 1"); });
  CHECK(error.kind == ErrorKind::transient);
}

TEST_CASE("logins that are refused are permanent, and no message holds the password") {
  SqlError error = error_of([] { Sql(server().conninfo("absent")); });
  CHECK(error.kind == ErrorKind::permanent);
  CHECK(error.sqlstate == "3D000");
  CHECK(error.failed == "cannot connect to the database");
  CHECK(error.on == on("absent"));
  CHECK(error.why.ends_with("FATAL: database \"absent\" does not exist"));
  error = error_of([] { Sql(server().conninfo(), {{"user", "nobody-here"}}); });
  CHECK(error.sqlstate == "28000");
  for (const char* text :
       {"postgresql://me:hunter22@host:port:9/x?y", "password=hunter22 hunter22 =", "host=a hunter22"}) {
    error = error_of([&] { Sql sql(text); });
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(std::string(error.what()) ==
          "cannot connect to the database: the connection text: libpq cannot read it");
  }
  server().execute("create role keyed login password 'hunter22-secret'");
  const std::string hba = server().data() + "/pg_hba.conf", before = read_file(hba);
  write_file(hba, "local all keyed scram-sha-256\n" + before, 0644);
  server().reload();
  error = error_of([] { Sql(server().conninfo(), {{"user", "keyed"}, {"password", "hunter22-wrong"}}); });
  CHECK(error.sqlstate == "28P01");
  CHECK(error.kind == ErrorKind::permanent);
  CHECK(std::string(error.what()).find("hunter22") == std::string::npos);
  error = error_of([] { Sql(server().conninfo(), {{"user", "keyed"}}); });
  CHECK(error.kind == ErrorKind::permanent);
  CHECK(Sql(server().conninfo(), {{"user", "keyed"}, {"password", "hunter22-secret"}})
            .query("select 1")
            .one() == "1");
  Sql keyed(server().conninfo(), {{"user", "keyed"}, {"password", "hunter22-secret"}});
  CHECK(error_of([&] { keyed.query("select 'hunter22-secret'::int"); }).why ==
        "invalid input syntax for type integer: \"***\" (SQLSTATE 22P02)");
  write_file(hba, before, 0644);
  server().reload();
}

TEST_CASE("servers that are full, down or mute are transient") {
  {
    Postgres small(
        {.settings = {
             {"max_connections", "2"}, {"superuser_reserved_connections", "0"}, {"max_wal_senders", "0"}}});
    Sql one(small.conninfo()), two(small.conninfo());
    const SqlError error = error_of([&] { Sql(small.conninfo()); });
    CHECK(error.sqlstate == "53300");
    CHECK(error.kind == ErrorKind::transient);
    small.stop();
    CHECK(error_of([&] { one.query("select 1"); }).kind == ErrorKind::transient);
    CHECK(error_of([&] { Sql(small.conninfo()); }).kind == ErrorKind::transient);
    CHECK(error_of([&] { Sql(small.url()); }).why.find("Connection refused") != std::string::npos);
    small.start();
    CHECK(small.value("select 1") == "1");
  }
  // Listens and never says a word.
  Fd mute(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int port = free_port();
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(mute.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(mute.get(), 4) == 0);
  const std::string where = "127.0.0.1:" + std::to_string(port);
  const SqlError error = error_of([&] {
    Sql("postgresql://me@" + where + "/x", {{"connect_timeout", "1"}});
  });
  CHECK(std::string(error.what()) ==
        "cannot connect to the database: " + where + "/x: no answer within 1.0s");
  CHECK(error.kind == ErrorKind::transient);
}

TEST_CASE("quoting survives the server") {
  Sql sql(server().conninfo());
  for (const std::string& text : {std::string("plain"), std::string("it's"), std::string("back\\slash '"),
                                  std::string("a\"b"), std::string("\\'; drop table x --")}) {
    CAPTURE(text);
    CHECK(sql.query("select" + (" " + quote_literal(text))).one() == text);
    sql.execute("set standard_conforming_strings = off");
    CHECK(sql.query("select " + quote_literal(text)).one() == text);
    sql.execute("set standard_conforming_strings = on");
    CHECK(sql.query("select 1 as " + quote_identifier(text)).columns[0] == text);
  }
}
