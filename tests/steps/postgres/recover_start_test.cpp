// What a recovered cluster needs of this host, told before it is started.
#include <doctest/doctest.h>

#include <fstream>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/start_needs.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

Json wanted(const Source& source) {
  return {{"base", source.base}, {"wal", {source.server.archive_folder()}}};
}

void holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
}

void append(const std::string& file, const std::string& text) {
  std::ofstream(file, std::ios::app) << text;
}

}  // namespace

TEST_CASE("a library that is to be loaded and is not installed is told, and nothing is replayed without it") {
  for (const char* format : {"--format=plain", "--format=tar"}) {
    CAPTURE(format);
    const Source source({format},
                        "alter system set shared_preload_libraries = 'auto_explain', 'no_such_library'");
    source.server.archive_now();
    const RecoverAttempt attempt(wanted(source));
    const Outcome plan = attempt.preview();
    CHECK(plan.value["problems"] == Json::array());
    const bool plain = format == std::string("--format=plain");
    CHECK(plan.value["verdict"] == (plain ? "cannot_yet_tell" : "would_change"));
    if (plain) {
      holds(plan.value["hints"].dump(), "the recovered server would not start: no_such_library: ");
      holds(plan.value["hints"].dump(), "the cluster has blocks of 8192 bytes, no page checksums");
      CHECK(plan.value["hints"].dump().find("auto_explain") == std::string::npos);
    }
    holds(attempt.apply().error, plain ? "no_such_library is not installed" : "would not start");
    CHECK(attempt.log().find("replay") == std::string::npos);
    CHECK_FALSE(sys::exists(attempt.data()));
    // A copy to look into loads none.
    Json paused = wanted(source);
    paused["action"] = "pause";
    CHECK(RecoverAttempt(paused).preview().value["verdict"] == "would_change");
  }
}

TEST_CASE("a locale that this host has not is a problem of the plan") {
  const Source source({"--format=plain"});
  append(source.base + "/postgresql.auto.conf", "lc_messages = 'tlh_KX.UTF-8'\n");
  const Outcome plan = RecoverAttempt(wanted(source)).preview();
  holds(plan.value["problems"].dump(), "the server would not take the configuration: ");
  holds(plan.value["problems"].dump(), "lc_messages");
}

TEST_CASE("a server that is built for other blocks is told") {
  const auto programs = postgres::Programs::find(15);
  REQUIRE(programs);
  postgres::Control control;
  CHECK(postgres::wrong_with_build(*programs, control, "c").empty());
  control.block_size = 16384;
  const auto problems = postgres::wrong_with_build(*programs, control, "c");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].why == "the cluster has blocks of 16384 bytes, and the server here is built for 8192");
}

TEST_CASE(
    "a collation and an extension that are others here are told by the recovery, with what mends them") {
  const Source source({"--format=tar"},
                      "create extension pgcrypto; update pg_extension set extversion = '0.9';"
                      "create collation odd (provider = icu, locale = 'de');"
                      "create table c (v text collate odd); create index by_odd on c (v);"
                      "update pg_collation set collversion = '1' where collname = 'odd'");
  source.server.archive_now();
  const RecoverAttempt attempt(wanted(source));
  REQUIRE(attempt.apply().error == "");
  holds(attempt.log(), "WARNING: in the database postgres the collation of odd has version ");
  holds(attempt.log(), "indexes by_odd: REINDEX INDEX by_odd");
  holds(attempt.log(), "WARNING: in the database postgres the extension pgcrypto is version 0.9");
}
