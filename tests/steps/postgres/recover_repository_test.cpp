// A recovery from what pgBackRest and Barman keep, by the real tools.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <filesystem>

#include "runner/step/window.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/recovery.h"
#include "tests/support/ssh_host.h"
#include "tests/support/unit.h"

using namespace relight;

namespace {

std::string as_postgres(const std::string& script) {
  sys::Command command;
  command.argv = {"/bin/bash", "-ec", script + " 2>&1"};
  command.cwd = "/";
  command.as = "postgres";
  const sys::Result result = sys::run(command);
  INFO(script << "\n" << result.out);
  REQUIRE(result.ok());
  return result.out;
}

struct Folder : sys::TempFolder {
  Folder() : sys::TempFolder(in_memory()) { give_to_postgres(path()); }
  static std::string in_memory() {
    work_in_memory();
    return "";
  }
};

// Row 1, a backup by each tool, row 2, row 3, a backup by each tool, rows 4 and 5. The second repository of
// pgBackRest is encrypted, and has only the second backup. There is a tablespace.
struct Repos {
  Folder folder;
  Postgres server;
  std::string second;  // a moment
  std::vector<std::string> labels;

  Repos()
      : server({.archive = true,
                .initdb = {"--wal-segsize=1"},
                .settings = {{"archive_command", "'" + backrest("archive-push %p") + " && cp %p " +
                                                     folder.path() +
                                                     "/barman/main/incoming/%f && cp %p ../archive/%f'"}}}) {
    as_postgres(fmt::format(
        "cd {0}; mkdir -p repo repo2 ts barman/main/incoming\n"
        "cat >backrest.conf <<'END'\n"
        "[global]\nrepo1-path={0}/repo\nrepo2-path={0}/repo2\nrepo2-cipher-type=aes-256-cbc\n"
        "repo2-cipher-pass=not-to-be-told\nspool-path={0}/spool\nlock-path={0}/lock\nlog-path={0}/log\n"
        "compress-type=zst\nlog-level-file=off\nlog-level-console=error\nlog-level-stderr=off\n"
        "start-fast=y\n[main]\npg1-path={1}\npg1-port={2}\npg1-socket-path={3}\npg1-user=postgres\nEND\n"
        "cat >barman.conf <<'END'\n"
        "[barman]\nbarman_user=postgres\nbarman_home={0}/barman\nconfiguration_files_directory={0}/none\n"
        "log_file={0}/barman.log\n[main]\ndescription=main\n"
        "conninfo=host={3} port={2} user=postgres dbname=postgres\nstreaming_conninfo=host={3} port={2} "
        "user=postgres\nbackup_method=postgres\narchiver=on\ncompression=gzip\n"
        "path_prefix=/usr/lib/postgresql/15/bin\nEND\n"
        "{4}",
        folder.path(), server.data(), server.port(), server.socket_folder(), backrest("stanza-create")));
    server.execute("create tablespace fast location '" + path("ts") + "'");
    server.execute("create table t (i int); create table f (i int) tablespace fast");
    server.execute("insert into f values (10)");
    insert(1);
    server.archive_now();
    barman("archive-wal main");
    back_up("1");
    insert(2);
    second = server.value(
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from "
        "pg_sleep(0.01)");
    insert(3);
    server.archive_now();
    barman("archive-wal main");
    back_up("1");
    as_postgres(backrest("--repo=2 backup"));
    insert(4);
    server.archive_now();
    barman("archive-wal main");  // what comes later stays in its folder `incoming`
    insert(5);
    server.archive_now();
    server.stop();
    for (const std::string& name : sys::names_in(path("repo/backup/main")))
      if (sys::exists(path("repo/backup/main/" + name + "/backup.manifest")) && name != "latest")
        labels.push_back(name);
    REQUIRE(labels.size() == 2);
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }
  void insert(int number) const { server.execute("insert into t values (" + std::to_string(number) + ")"); }
  std::string backrest(const std::string& arguments) const {
    return "pgbackrest --config=" + path("backrest.conf") + " --stanza=main " + arguments;
  }
  void barman(const std::string& arguments) const {
    as_postgres("barman -c " + path("barman.conf") + " " + arguments);
  }
  void back_up(const std::string& repo) const {
    as_postgres(backrest("--repo=" + repo + " backup"));
    barman("backup main");
  }
  Json wanted(const Json& repository, const std::string& to, const Json& more = Json::object()) const {
    Json json = {{"repository", repository}, {"to", to}};
    json.update(more);
    return json;
  }
  Json of_backrest(const Json& more = Json::object()) const {
    Json parts = {{"stanza", "main"}, {"config", path("backrest.conf")}, {"repo", 1}};
    parts.update(more);
    return {{"pgbackrest", parts}};
  }
  Json of_barman() const { return {{"barman", {{"server", "main"}, {"config", path("barman.conf")}}}}; }
};

const Repos& repos() {
  static const Repos one;
  return one;
}

std::string told(const Json& params, bool full = false) {
  const Outcome plan = RecoverAttempt(params).preview(full);
  REQUIRE(plan.error == "");
  return plan.value["summary"].get<std::string>() + plan.value["hints"].dump() +
         plan.value["problems"].dump() + plan.value["mends"].dump();
}

void holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
}

struct Recovered {
  std::string rows, in_tablespace, link;
};

Recovered recovered(const Json& params) {
  const RecoverAttempt attempt(params);
  const Outcome done = attempt.apply();
  CAPTURE(params.dump());
  REQUIRE(done.error == "");
  CHECK(sys::read_file(attempt.data() + "/postgresql.auto.conf").find("\nrestore_command") ==
        std::string::npos);
  Recovered found{rows_of(attempt.data()), rows_of(attempt.data(), "f"), ""};
  for (const std::string& oid : sys::names_in(attempt.data() + "/pg_tblspc"))
    found.link = std::filesystem::read_symlink(attempt.data() + "/pg_tblspc/" + oid).string();
  sys::remove_tree(found.link);
  return found;
}

}  // namespace

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

// A folder whose programs are taken before all others.
class FirstInPath {
 public:
  explicit FirstInPath(const std::string& folder) { setenv("PATH", (folder + ":" + was_).c_str(), 1); }
  ~FirstInPath() { setenv("PATH", was_.c_str(), 1); }
  FirstInPath(const FirstInPath&) = delete;

 private:
  const std::string was_ = getenv("PATH");
};

// The first repository again, as a new host sees it over ssh.
struct Remote {
  SshHost host;
  Folder folder;
  Remote() {
    sys::write_file(conf(),
                    "[global]\nrepo1-host=127.0.0.1\nrepo1-host-user=postgres\nrepo1-host-port=" +
                        std::to_string(host.port()) + "\nrepo1-host-config=" + repos().path("backrest.conf") +
                        "\ncmd-ssh=" + host.client() + "\nlock-path=" + folder.path() +
                        "/lock\nlog-level-file=off\n",
                    0644);
  }
  std::string conf() const { return folder.path() + "/backrest.conf"; }
  Json wanted(const std::string& to) const {
    return repos().wanted({{"pgbackrest", {{"stanza", "main"}, {"config", conf()}}}}, to);
  }
};

TEST_CASE("a repository of pgBackRest on another host is reached by ssh, patiently") {
  const Remote remote;
  remote.host.fail_next(2);
  const std::string plan = told(remote.wanted("latest"));
  holds(plan, "begins with the base backup pgbackrest main " + repos().labels[1]);
  holds(plan, "on timeline 1, last commit 20");
  CHECK(recovered(remote.wanted(repos().second)).rows == "1 2");

  // While the base backup is restored, and while the WAL is handed out.
  const RecoverAttempt attempt(remote.wanted("latest"));
  const Outcome cut = attempt.apply([&](const Point& point) {
    if (point.name == "postgres.recover:cleared") remote.host.fail_next(1000);
    return 0;
  });
  holds(cut.error, "cannot read the repository: pgbackrest main: ");
  holds(cut.error, "Connection refused");
  CHECK_FALSE(sys::exists(attempt.data()));
  remote.host.fail_next(0);
  const Outcome done = attempt.apply([&](const Point& point) {
    if (point.name == "postgres.recover:unpacked") remote.host.fail_next(2, "repo-get:remote");
    return 0;
  });
  REQUIRE(done.error == "");
  CHECK(rows_of(attempt.data()) == "1 2 3 4 5");
  REQUIRE(attempt.undo().error == "");
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
  Folder copy;
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

TEST_CASE("Barman on another host: its backups and its WAL come by ssh, patiently") {
  const SshHost host;
  const FirstInPath ssh(sys::parent_of(host.client()));
  const auto far = [&](const Json& more = Json::object()) {
    Json parts = {{"server", "main"},
                  {"config", repos().path("barman.conf")},
                  {"host", "ssh://postgres@127.0.0.1:" + std::to_string(host.port())}};
    parts.update(more);
    return Json{{"barman", parts}};
  };
  host.fail_next(2);
  const std::string latest = told(repos().wanted(far(), "latest"));
  holds(latest, "begins with the base backup barman main 20");
  holds(latest, "; older: barman main 20");
  holds(latest, "the tablespace at " + repos().path("ts") + " is made anew in " + repos().path("ts"));
  holds(latest, "its files are checked while they are restored");
  CHECK(latest.find("unpack 0 files") == std::string::npos);
  const Recovered all = recovered(repos().wanted(far(), "latest"));
  CHECK(all.rows == "1 2 3 4 5");
  CHECK(all.in_tablespace == "10");
  CHECK(all.link != repos().path("ts"));
  CHECK(recovered(repos().wanted(far(), repos().second)).rows == "1 2");

  // While the base backup is read, and while the WAL is handed out.
  const RecoverAttempt attempt(repos().wanted(far(), "latest"));
  const Outcome cut = attempt.apply([&](const Point& point) {
    if (point.name == "postgres.recover:cleared") host.fail_next(1, "tar -c");
    return 0;
  });
  holds(cut.error, "the base backup cannot be read: ");
  holds(cut.error, "Connection refused");
  CHECK_FALSE(sys::exists(attempt.data()));
  const Outcome done = attempt.apply([&](const Point& point) {
    if (point.name == "postgres.recover:unpacked") host.fail_next(2, "cat /");
    return 0;
  });
  REQUIRE(done.error == "");
  CHECK(rows_of(attempt.data()) == "1 2 3 4 5");
  REQUIRE(attempt.undo().error == "");

  host.fail_next(1000);
  holds(RecoverAttempt(repos().wanted(far(), "latest")).preview().error,
        "cannot read the repository: barman main: ssh: connect to host: Connection refused");
  host.fail_next(0);
  holds(told(repos().wanted(far({{"set", "20200101T000000"}}), "latest")),
        "it has no base backup 20200101T000000");
  holds(told(repos().wanted(far({{"server", "other"}}), "latest")), "Unknown server 'other'");
  holds(told(repos().wanted(far({{"server", "a b"}}), "latest")), "cannot be given to the shell of ");

  // What is damaged over there.
  const std::string base = repos().path("barman/main/base");
  const std::string file = base + "/" + sys::names_in(base).back() + "/data/global/1262";
  const std::string bytes = sys::read_file(file);
  std::string wrong = bytes;
  wrong[100] = static_cast<char>(~wrong[100]);
  sys::write_file(file, wrong, 0600);
  give_to_postgres(file);
  CHECK(told(repos().wanted(far(), "latest")).find("global/1262") == std::string::npos);
  holds(told(repos().wanted(far(), "latest"), true), "global/1262");
  const Outcome damaged = RecoverAttempt(repos().wanted(far(), "latest")).apply();
  sys::write_file(file, bytes, 0600);
  give_to_postgres(file);
  holds(damaged.error, "global/1262");
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
  Folder set;
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
