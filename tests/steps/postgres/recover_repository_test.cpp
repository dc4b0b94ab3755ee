// A recovery from what pgBackRest and Barman keep, by the real tools.
#include <doctest/doctest.h>

#include <filesystem>

#include "runner/step/window.h"
#include "tests/support/repositories.h"
#include "tests/support/unit.h"

using namespace relight;

TEST_CASE("pgBackRest's repository: the newest backup that leads to the moment, and every record proved") {
  const std::string latest = told(repos().wanted(repos().of_backrest(), "latest"));
  holds(latest, "begins with the base backup pgbackrest main " + repos().labels[1] + " of 20");
  holds(latest, "; older: pgbackrest main " + repos().labels[0] + " of 20");
  holds(latest, "the tablespace at " + repos().path("ts") + " is made anew in " + repos().path("ts"));
  holds(latest, "on timeline 1, last commit 20");
  CHECK(latest.find("unpack 0 files") == std::string::npos);
  holds(told(repos().wanted(repos().of_backrest(), repos().second)),
        "begins with the base backup pgbackrest main " + repos().labels[0]);

  const Recovered all = recovered(repos().wanted(repos().of_backrest(), "latest"));
  CHECK(all.rows == "1 2 3 4 5");
  CHECK(all.in_tablespace == "10");
  CHECK(all.link != repos().path("ts"));
  CHECK(recovered(repos().wanted(repos().of_backrest(), repos().second)).rows == "1 2");
  holds(told(repos().wanted(repos().of_backrest({{"set", repos().labels[0]}}), "latest")),
        "pgbackrest main " + repos().labels[0] + ": its files are checked while they are restored");
  // By the repository's folder alone, as a new host has no configuration of it.
  const Json bare = {{"pgbackrest", {{"stanza", "main"}, {"path", repos().path("repo")}}}};
  CHECK(recovered(repos().wanted(bare, "latest")).rows == "1 2 3 4 5");
}

TEST_CASE("an encrypted repository of pgBackRest is read by its own command, and its key is not told") {
  const Json encrypted = repos().wanted(repos().of_backrest({{"repo", 2}}), "latest");
  const std::string plan = told(encrypted, true);
  holds(plan, "on timeline 1, last commit 20");
  CHECK(plan.find("not-to-be-told") == std::string::npos);
  CHECK(recovered(encrypted).rows == "1 2 3 4 5");
  holds(told(repos().wanted(repos().of_backrest({{"repo", 2}}), repos().second)),
        "the moment lies before the end of the base backup");
}

TEST_CASE("a paused copy of a repository goes on to a later moment") {
  const RecoverAttempt copy(repos().wanted(repos().of_backrest(), repos().second, {{"action", "pause"}}));
  const Outcome up = copy.apply();
  REQUIRE(up.error == "");
  CHECK(rows_of_copy(up.value["url"]) == "1 2");
  const RecoverAttempt on({{"copy", copy.data()}, {"to", "latest"}}, "20261121-102601-test",
                          "postgres.advance");
  const Outcome moved = on.apply();
  REQUIRE(moved.error == "");
  CHECK(rows_of_copy(moved.value["url"]) == "1 2 3 4 5");
  REQUIRE(copy.undo().error == "");
}

TEST_CASE("what is missing or damaged in pgBackRest's repository is told by the plan") {
  PostgresFolder copy;
  std::filesystem::copy(repos().path("repo"), copy.path() + "/repo",
                        std::filesystem::copy_options::recursive);
  give_to_postgres(copy.path());
  const Json bare = {{"pgbackrest", {{"stanza", "main"}, {"path", copy.path() + "/repo"}}}};
  const std::string archived = copy.path() + "/repo/archive/main/15-1/0000000100000000/";
  const std::vector<std::string> segments = sys::names_in(archived);
  // The last but one segment.
  const std::string lost = segments[segments.size() - 2];
  const std::string bytes = sys::read_file(archived + lost);
  sys::remove_file(archived + lost);
  holds(told(repos().wanted(bare, "latest")), "a WAL segment is missing: " + lost.substr(0, 24));
  std::string wrong = bytes;
  wrong[bytes.size() / 2] = static_cast<char>(~wrong[bytes.size() / 2]);
  sys::write_file(archived + lost, wrong, 0640);
  give_to_postgres(copy.path());
  holds(told(repos().wanted(bare, "latest")), "a WAL segment is damaged: " + lost.substr(0, 24));
  sys::write_file(archived + lost, bytes, 0640);
  give_to_postgres(copy.path());

  const std::string part = copy.path() + "/repo/backup/main/" + repos().labels[0] + "/pg_data/PG_VERSION.zst";
  sys::write_file(part, "no such bytes", 0640);
  give_to_postgres(copy.path());
  CHECK(told(repos().wanted(bare, "latest")).find("the base backup is damaged") == std::string::npos);
  holds(told(repos().wanted(bare, "latest"), true),
        "the base backup is damaged: pgbackrest main " + repos().labels[1]);
}

TEST_CASE("a repository that cannot be read is refused, with the tool's own words") {
  const auto refused = [&](const Json& repository, const std::string& why) {
    holds(told(repos().wanted(repository, "latest")), why);
  };
  refused(repos().of_backrest({{"stanza", "other"}}),
          "cannot read the repository: pgbackrest other: missing stanza path");
  refused(repos().of_backrest({{"set", "20200101-000000F"}}),
          "cannot read the repository: pgbackrest main: it has no base backup 20200101-000000F");
  refused({{"barman", {{"server", "other"}, {"config", repos().path("barman.conf")}}}},
          "cannot read the repository: barman other: Unknown server 'other'");
  refused({{"barman", {{"server", "main"}, {"config", repos().path("none.conf")}}}},
          "cannot read the repository: barman main: ");
  holds(told(repos().wanted(repos().of_barman(), "latest", {{"base", "/backup/base"}})),
        "two sources are named");
  holds(told({{"to", "latest"}}), "no base backup is named");
}

TEST_CASE("Barman's repository: its base backups, its compressed WAL, and what has only come in") {
  const std::string latest = told(repos().wanted(repos().of_barman(), "latest"), true);
  holds(latest, "begins with the base backup " + repos().path("barman/main/base/"));
  holds(latest, "; older: " + repos().path("barman/main/base/"));
  holds(latest, "the tablespace at " + repos().path("ts") + " is made anew in " + repos().path("ts"));
  const Recovered all = recovered(repos().wanted(repos().of_barman(), "latest"));
  CHECK(all.rows == "1 2 3 4 5");
  CHECK(all.in_tablespace == "10");
  CHECK(recovered(repos().wanted(repos().of_barman(), repos().second)).rows == "1 2");
}

TEST_CASE("relight window tells what lies in a repository's folder") {
  TestCall call;
  const auto window = [&](const std::string& folder) {
    WindowReport report;
    type_named("postgres.recover").window(folder, false, call, report);
    return report;
  };
  for (const char* name : {"repo", "barman/main"}) {
    CAPTURE(name);
    const WindowReport report = window(repos().path(name));
    for (const Problem& gap : report.gaps) MESSAGE(gap.what << gap.on << gap.why);
    CHECK(report.gaps.empty());
    REQUIRE(report.windows.size() == 1);
    CHECK(sys::parse_time(report.windows[0].from) <= sys::parse_time(repos().second));
    CHECK(sys::parse_time(report.windows[0].to) > sys::parse_time(repos().second));
    REQUIRE(report.windows[0].facts.size() == 1);
  }
  // A recovery set may name a repository, on another host, too.
  PostgresFolder set;
  const Json backup = {{"format", "recovery-set/1"},
                       {"product", "x"},
                       {"version", "1"},
                       {"time", repos().second},
                       {"files", Json::array()},
                       {"database", {{"repository", repos().of_backrest({{"repo", 2}})}}}};
  sys::write_file(set.path() + "/backup.json", backup.dump(), 0644);
  const WindowReport report = window(set.path());
  REQUIRE(report.windows.size() == 1);
  CHECK(sys::parse_time(report.windows[0].from) > sys::parse_time(repos().second));
}
