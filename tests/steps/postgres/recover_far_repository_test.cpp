// A recovery from what pgBackRest and Barman keep on another host, by the real tools and sshd.
#include <doctest/doctest.h>

#include <cstdlib>

#include "runner/step/window.h"
#include "tests/support/repositories.h"
#include "tests/support/ssh_host.h"
#include "tests/support/unit.h"

using namespace relight;

namespace {

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
  PostgresFolder folder;
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

}  // namespace

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

TEST_CASE("Barman on another host: its backups and its WAL come by ssh, patiently") {
  const SshHost host;
  const FirstInPath ssh(sys::parent_of(host.client()));
  const auto far = [&](const Json& more = Json::object()) {
    Json parts = {{"host", "ssh://postgres@127.0.0.1:" + std::to_string(host.port())}};
    parts.update(more);
    return repos().of_barman(parts);
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
  // Most by a login that is there: one more is made for each plan and each recovery.
  CHECK(host.calls() > 3 * host.logins());

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

  // A recovery set may name it; a relative path is the other host's then.
  {
    PostgresFolder set;
    const Json repository = far({{"config", "no/such.conf"}});
    const Json backup = {
        {"format", "recovery-set/1"}, {"product", "x"},         {"version", "1"},
        {"time", repos().second},     {"files", Json::array()}, {"database", {{"repository", repository}}}};
    sys::write_file(set.path() + "/backup.json", backup.dump(), 0644);
    std::string report;
    try {
      TestCall call;
      WindowReport found;
      type_named("postgres.recover").window(set.path(), false, call, found);
      for (const Problem& gap : found.gaps) report += gap.on + ": " + gap.why + "\n";
    } catch (const Error& error) {
      report = error.on + ": " + error.why;
    }
    holds(report, "no/such.conf");
    CHECK(report.find(set.path() + "/no/such.conf") == std::string::npos);
  }

  // What comes instead of a tar, and more of it than a pipe holds.
  {
    const PostgresFolder chatty;
    sys::write_file(chatty.path() + "/ssh",
                    "#!/bin/sh\ncase \"$*\" in *'tar -c'*) head -c 300000 /dev/urandom ;; esac\nexec " +
                        host.client() + " \"$@\"\n",
                    0755);
    const FirstInPath first(chatty.path());
    const std::string plan = told(repos().wanted(far(), "latest"), true);
    holds(plan, "/data: Unrecognized archive format");
  }

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
