#include <doctest/doctest.h>

#include <filesystem>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

Json wanted(const Source& source) {
  return {{"base", source.base}, {"wal", {source.server.archive_folder()}}};
}

void run(const std::string& script) {
  sys::Command command;
  command.argv = {"/bin/sh", "-ec", script};
  command.as = "postgres";
  command.cwd = "/";
  sys::output_of(command, "a test's script failed");
}

}  // namespace

TEST_CASE("a plain base backup with a tablespace goes into new folders, and what it came from stays") {
  const sys::TempFolder spaces;
  const std::string live = spaces.path() + "/live", copied = spaces.path() + "/copied";
  sys::make_folders(live);
  give_to_postgres(spaces.path());
  Source source({"--format=tar"}, "create table unused (i int)");
  source.server.execute("create tablespace fast location '" + live + "'");
  source.server.execute("create table f (i int) tablespace fast; insert into f values (1)");
  source.server.base_backup(spaces.path() + "/base",
                            {"--tablespace-mapping=" + live + "=" + copied, "--manifest-checksums=SHA256"});
  source.server.execute("insert into f values (2)");
  source.server.archive_now();
  source.server.stop();
  const std::string before = sys::tree_digest(live), backup = sys::tree_digest(copied);

  Json params = wanted(source);
  params["base"] = spaces.path() + "/base";
  const RecoverAttempt attempt(params);
  const Outcome plan = attempt.preview(true);
  REQUIRE(plan.error == "");
  CHECK(plan.value["problems"] == Json::array());
  const std::string fresh = copied + ".relight-20261121-102600-test";
  CHECK(plan.value["hints"].dump().find("the tablespace at " + copied + " is made anew in " + fresh) !=
        std::string::npos);
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  CHECK(rows_of(attempt.data(), "f") == "1 2");
  CHECK(sys::exists(fresh));
  CHECK(sys::tree_digest(live) == before);
  CHECK(sys::tree_digest(copied) == backup);

  // A link that leaves the tree.
  std::filesystem::create_symlink("/etc", spaces.path() + "/base/pg_stat_tmp/out");
  params["data"] = spaces.path() + "/second";
  params["tablespaces"] = {{copied, spaces.path() + "/second-space"}};
  const RecoverAttempt linked(params);
  CHECK(linked.preview().value["problems"].dump().find("the base backup holds a link: pg_stat_tmp/out") !=
        std::string::npos);
  CHECK(linked.apply().error.find("the base backup holds a link") == 0);
}

TEST_CASE("compressed tars, and a single tar of a plain backup") {
  Source source({"--format=tar", "--compress=client-zstd"});
  source.server.base_backup(source.server.folder() + "/plain");
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const RecoverAttempt packed(wanted(source));
  const Outcome plan = packed.preview();
  CHECK(plan.value["problems"] == Json::array());
  CHECK(plan.value["hints"].dump().find("base.tar.zst is compressed") != std::string::npos);
  CHECK(packed.preview(true).value["problems"] == Json::array());
  REQUIRE(packed.apply().error == "");
  CHECK(rows_of(packed.data()) == "1");

  run("cd " + source.server.folder() + " && tar czf single.tar.gz plain");
  Json params = wanted(source);
  params["base"] = source.server.folder() + "/single.tar.gz";
  const RecoverAttempt single(params);
  const Outcome single_plan = single.preview();
  CHECK(single_plan.value["problems"] == Json::array());
  REQUIRE(single.apply().error == "");
  CHECK(rows_of(single.data()) == "1");
}

TEST_CASE("a backup that brought its own WAL needs no archive") {
  Source source;
  const Json params = {{"base", source.base}};
  const RecoverAttempt attempt(params);
  REQUIRE(attempt.preview().value["problems"] == Json::array());
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(attempt.data()) == "none");
}

TEST_CASE(
    "settings of the primary: more connections on the way, recovery settings left behind, a library that is "
    "not there") {
  Source source;
  source.server.execute("alter system set max_connections = 45");
  source.server.execute("alter system set restore_command = 'false'");
  source.server.execute("alter system set work_mem = '5MB'");
  source.server.stop();
  source.server.start();
  std::filesystem::remove_all(source.base);
  source.server.base_backup(source.base, {"--format=tar"});
  source.server.execute("alter system set max_connections = 55");
  source.server.stop();
  source.server.start();
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  const RecoverAttempt attempt(wanted(source));
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(attempt.data()) == "1");
  const std::string settings = sys::read_file(attempt.data() + "/postgresql.auto.conf");
  CHECK(settings.find("work_mem = '5MB'\n") != std::string::npos);
  CHECK(settings.find("# put out of force by relight: restore_command = 'false'\n") != std::string::npos);
}

TEST_CASE("a second recovery follows the timeline that the first one began, and takes another") {
  Source source;
  const std::string early = "lsn:" + source.lsn();
  source.insert(1);
  source.server.archive_now();
  source.server.stop();
  Json params = wanted(source);
  const RecoverAttempt first(params);
  const Outcome one = first.apply();
  REQUIRE(one.error == "");
  CHECK(one.value["timeline"] == 2);

  const std::string between = sys::show_time(sys::now());
  // Back in service: its own configuration archives into the same archive.
  const std::string log = first.folder() + "/log",
                    pg_ctl = Postgres::program("pg_ctl") + " -s -w -D " + first.data();
  run(pg_ctl + " -l " + log + " start");
  const auto psql = [&](const std::string& sql) {
    run("psql -qAt -h " + source.server.socket_folder() + " -p " + std::to_string(source.server.port()) +
        " -U postgres -c \"" + sql + "\"");
  };
  psql("insert into t values (2)");
  psql("select pg_switch_wal()");
  run(pg_ctl + " -m fast stop");
  CHECK(sys::exists(source.server.archive_folder() + "/00000002.history"));

  const RecoverAttempt second(params, "20261121-112600-next");
  const Outcome plan = second.preview();
  REQUIRE(plan.value["problems"] == Json::array());
  CHECK(plan.value["summary"].get<std::string>().find("on timeline 2") != std::string::npos);
  const auto tells = [](const Outcome& told, const std::string& tree) {
    CAPTURE(told.value["hints"].dump(2));
    CHECK(told.value["hints"].dump().find(tree) != std::string::npos);
  };
  tells(plan, "timeline 1, followed\\n  timeline 2 left 1 at " + one.value["lsn"].get<std::string>() +
                  ", followed\\nanother is followed with timeline = N");
  // A copy that stands before the fork goes either way, and one behind it on its own alone.
  const auto advance = [](const RecoverAttempt& copy, int timeline) {
    return RecoverAttempt({{"copy", copy.data()}, {"to", "latest"}, {"timeline", timeline}},
                          "20261121-112601-next", "postgres.advance");
  };
  Json held = params;
  held.update({{"action", "pause"}, {"timeline", 1}, {"to", early}});
  const RecoverAttempt copy(held, "20261121-112602-next");
  REQUIRE(copy.apply().error == "");
  const Outcome on = advance(copy, 2).apply();
  REQUIRE(on.error == "");
  CHECK(on.value["timeline"] == 2);
  CHECK(rows_of_copy(on.value["url"]) == "1 2");
  CHECK(advance(copy, 1).apply().error.find("the copy is not on the way to this timeline: 1") !=
        std::string::npos);
  REQUIRE(copy.undo().error == "");

  const Outcome two = second.apply();
  REQUIRE(two.error == "");
  CHECK(two.value["timeline"] == 3);
  CHECK(rows_of(second.data()) == "1 2");

  // A moment between the last commit on the one and the first on the other.
  params["to"] = between;
  const RecoverAttempt halfway(params, "20261121-113600-half");
  REQUIRE(halfway.apply().error == "");
  CHECK(rows_of(halfway.data()) == "1");
  params.erase("to");

  // Without its history the newer timeline is not passed over in silence.
  const std::string history = source.server.archive_folder() + "/00000002.history";
  const std::string text = sys::read_file(history);
  sys::remove_file(history);
  CHECK(RecoverAttempt(params).preview().value["problems"].dump().find(
            "a timeline's history is missing: 00000002.history: the archive holds ") != std::string::npos);
  sys::write_file(history, text, 0644);

  // The old timeline can still be asked for, and what is on it alone.
  params["timeline"] = 1;
  const RecoverAttempt old(params, "20261121-122600-old");
  tells(old.preview(), ", not followed");
  const Outcome three = old.apply();
  REQUIRE(three.error == "");
  CHECK(three.value["timeline"] == 3);
  CHECK(rows_of(old.data()) == "1");
  params["timeline"] = 7;
  CHECK(RecoverAttempt(params).preview().value["problems"][0] ==
        "the timeline is not in the archive: 00000007.history: there is no such file");
}

TEST_CASE("a database that is not there is found before the switch") {
  Source source;
  Json params = wanted(source);
  params["database"] = "nosuch";
  const RecoverAttempt attempt(params);
  const Outcome failed = attempt.apply();
  CHECK(failed.error == "the recovered cluster has no such database: nosuch: it has postgres, template1");
  CHECK_FALSE(sys::exists(attempt.data()));
  CHECK(attempt.undo().error == "");
}
