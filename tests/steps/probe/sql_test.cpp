#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/postgres.h"
#include "tests/support/test_call.h"

using namespace relight;

TEST_CASE("a database is asked, read only, and its answer compared") {
  Postgres server;
  server.execute("create table notes (id int, text text); insert into notes values (1, 'one'), (2, null)");
  const StepType& type = type_named("probe.sql");
  auto outcome = [&](const std::string& sql, const Json& expect, Json more = Json::object()) -> std::string {
    Json values = {{"database", server.conninfo()}, {"sql", sql}, {"within", "50ms"}, {"every", "10ms"}};
    if (!expect.is_null()) values["expect"] = expect;
    values.update(more);
    TestParams params(type, values.dump());
    TestCall call;
    try {
      return "passed: " + type.make()->apply(params, call)["value"].get<std::string>();
    } catch (const Error& error) {
      return error.why;
    }
  };
  const std::string seen = "not within 50ms; last seen: ";
  CHECK(outcome("select count(*) from notes", {{"value", 2}}) == "passed: 2");
  CHECK(outcome("select count(*) > 0 from notes", {{"value", true}}) == "passed: t");
  // What one probe saw another may expect, whatever it is.
  const std::string odd = "select ' a  b' || chr(10) || repeat('c', 2000) || ' '";
  const std::string seen_odd = outcome(odd, nullptr).substr(std::string("passed: ").size());
  CHECK(seen_odd.size() == 2007);
  CHECK(outcome(odd, {{"value", seen_odd}}) == "passed: " + seen_odd);
  CHECK(outcome("select sum(id) from notes where false", {{"value", ""}}) == "passed: ");
  CHECK(outcome("select text from notes order by id", {{"value", "one"}, {"rows", 2}}) == "passed: one");
  CHECK(outcome("select id from notes", {{"at_least", 2}}) == "passed: 1");
  CHECK(outcome("select id from notes where id > 7", {{"rows", 0}}) == "passed: ");
  CHECK(outcome("select 1", nullptr) == "passed: 1");
  CHECK(outcome("select id from notes where id > 7", nullptr) == seen + "0 rows, and at least 1 expected");
  CHECK(outcome("select count(*) from notes", {{"value", 3}}) == seen + "\"2\", not \"3\"");
  CHECK(outcome("select text from notes where id = 2", {{"value", "two"}}) == seen + "NULL, not \"two\"");
  CHECK(outcome("select id from notes", {{"rows", 3}}) == seen + "2 rows, not 3");
  CHECK(outcome("delete from notes returning id", nullptr).find("read-only transaction") !=
        std::string::npos);
  CHECK(server.value("select count(*) from notes") == "2");
  CHECK(outcome("select * from absent", nullptr).find("\"absent\" does not exist") != std::string::npos);
  CHECK(outcome("select 1", {{"vlaue", 1}}) == "there is no such field");

  server.stop();
  CHECK(outcome("select 1", nullptr).starts_with(seen));
}
