#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "tests/support/dump_bench.h"
#include "tests/support/failpoint.h"

using namespace relight;
using namespace relight::dumps;

TEST_CASE("a dump of every form is restored in place of the database there, which is kept and comes back") {
  DumpBench bench("custom directory tar plain");
  const std::string before = bench.state(), properties = DumpBench::properties();
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
      CHECK(preview.hints.size() == (dump.ends_with(".plain") ? 1 : 0));  // no moment
      CHECK(preview.summary.find("PostgreSQL 15.") != std::string::npos);
      CHECK(preview.summary.find("3 tables") != std::string::npos);
      CHECK(preview.keeps.size() == 1);
      CHECK(preview.space.size() == 1);
    }
    CHECK(bench.state() == before);
    CHECK(DumpBench::databases() == plain_databases);

    const Json outputs = bench.apply();
    CHECK(outputs["tables"] == 3);
    CHECK(outputs["database"] == "ember");
    CHECK(outputs["bytes"] > 0);
    CHECK(sys::Sql(outputs["url"].get<std::string>()).query("SELECT current_database()").one() == "ember");
    CHECK(DumpBench::properties() == properties);
    if (after.empty()) after = bench.state();
    CHECK(bench.state() == after);
    CHECK(after != before);
    CHECK(bench.apply() == outputs);
    CHECK(bench.state() == after);
    CHECK(bench.preview().verdict == Preview::Verdict::nothing_to_do);
    DumpBench::check_rows();

    bench.undo();
    CHECK(bench.state() == before);
    CHECK(DumpBench::properties() == properties);
    CHECK(DumpBench::databases() == plain_databases);
    bench.undo();
    CHECK(bench.state() == before);
  }
}

TEST_CASE("a database that is not there is made as its dump says, and is gone after undo") {
  DumpBench bench;
  const std::string dumped = DumpBench::properties();
  server().execute("DROP DATABASE ember");
  CHECK(bench.state() == "absent");
  CHECK(bench.preview().problems.empty());
  CHECK(bench.preview().keeps.empty());
  bench.apply();
  DumpBench::check_rows();
  CHECK(DumpBench::properties() == dumped);
  bench.undo();
  CHECK(bench.state() == "absent");

  sys::remove_file(bench.notes);
  bench.apply(R"("owner":"Reader One")");
  CHECK(DumpBench::properties().find("Reader One | UTF8 | C | C.UTF-8 | 77") == 0);
}

TEST_CASE("an open session fails the step and is named; with end_sessions it is ended") {
  DumpBench bench;
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
    CHECK(DumpBench::databases() == plain_databases);
  }
  sys::remove_file(bench.notes);
  {
    sys::Sql open(server().conninfo("ember"));
    bench.apply(R"("end_sessions":true)");
    CHECK_THROWS_AS(open.query("SELECT 1"), Error);
  }
  DumpBench::check_rows();
  {
    sys::Sql open(server().conninfo("ember"));
    CHECK_THROWS_AS(bench.undo(), Error);
    CHECK(open.query("SELECT 1").one() == "1");
    bench.undo(R"("end_sessions":true)");
  }
  CHECK(bench.state() == before);
}

TEST_CASE("a session that ends just then is waited for") {
  DumpBench bench;
  auto open = std::make_unique<sys::Sql>(server().conninfo("ember"));
  std::jthread closer;
  watch_failpoints([&](const Point& point) {
    if (point.name == "postgres.restore:marked" && !closer.joinable())
      closer = std::jthread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        open.reset();
      });
    return 0;
  });
  CHECK_NOTHROW(bench.apply());
  watch_failpoints({});
  REQUIRE(closer.joinable());
  closer.join();
  DumpBench::check_rows();
}

TEST_CASE("a server that is not there yet leaves the plan open; a password in plain text is refused") {
  const DumpBench bench;
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
  const DumpBench bench;
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
  const DumpBench bench;
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
  CHECK(DumpBench::databases() == plain_databases);
  CHECK(bench.state() == after);
  CHECK(server().value(
            "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) c WHERE c LIKE 'relight%'") == "0");
}
