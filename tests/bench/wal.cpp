#include "tests/bench/wal.h"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>

#include "runner/sys/error.h"
#include "runner/sys/memory.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/feeder.h"
#include "steps/postgres/lib/settings.h"
#include "tests/bench/measure.h"
#include "tests/bench/scene.h"

namespace relight::bench {

namespace {

using Clock = std::chrono::steady_clock;

// A base backup, and more than 45 segments of 16 MB since.
class Scene {
 public:
  explicit Scene(const std::string& packing, Written written = Written::loaded, bool backrest = false) {
    {
      PostgresOptions options;
      options.archive = true;
      options.settings = {{"max_wal_size", "4GB"}, {"checkpoint_timeout", "1h"}};
      const Postgres source(options);
      const auto base = [&] {
        source.base_backup(folder() + "/base", {"--wal-method=none", "--checkpoint=fast"});
      };
      if (written == Written::loaded) base();
      source.run("pgbench",
                 {"--initialize", "--quiet", written == Written::loaded ? "--scale=60" : "--scale=20"});
      if (written == Written::updated) base();
      source.run("pgbench", {written == Written::loaded ? "--time=10" : "--transactions=100000", "--client=4",
                             "--no-vacuum"});
      source.archive_now();
      as_postgres("cp -a " + source.archive_folder() + " " + archive());
      for (const std::string& name : sys::names_in(archive()))
        if (name.size() == 24) names_.push_back(name);
      as_postgres("cp -a " + archive() + " " + folder() + "/plain");
      if (backrest) {
        backrest_ = Backrest(folder(), packing);
        backrest_.add(source);
        for (const std::string& name : names_)
          as_postgres(backrest_.command("--no-archive-async archive-push " + folder() + "/plain/" + name));
      }
    }
    as_postgres(fmt::format("cd {} && ls | grep -E '^[0-9A-F]{{24}}$' | xargs -P 2 -n 4 {}", archive(),
                            packing == "zst" ? "zstd -q --rm" : "gzip"));
    fmt::print(stderr, "{} segments of 16 MB\n", names_.size());
  }

  // Seconds from the start of the server to its being a primary.
  double fed() {
    fresh("exec " + std::string(postgres::work_folder) + "/restore-wal %f %p",
          postgres::replay_settings(sys::spare_memory()));
    int ready[2];
    if (pipe(ready) != 0) throw system_error(errno, "cannot make a pipe", "the feeder");
    const auto began = Clock::now();  // it decodes from the first moment on
    const pid_t feeder = fork();
    if (feeder == 0) feed(ready[1]);
    close(ready[1]);
    char byte;
    if (read(ready[0], &byte, 1) != 1) throw Error(ErrorKind::permanent, "cannot feed", data(), "it ended");
    const double seconds = to_primary(began);
    kill(feeder, SIGKILL);
    waitpid(feeder, nullptr, 0);
    close(ready[0]);
    return seconds;
  }

  double by(const std::string& restore_command) {
    // PostgreSQL's own default, where the tests' clusters have less.
    fresh(restore_command.empty() ? "false" : restore_command, {{"shared_buffers", "128MB"}});
    if (restore_command.empty()) as_postgres("cp " + folder() + "/plain/0* " + data() + "/pg_wal/; sync");
    return to_primary(Clock::now());
  }

  double by_backrest() { return by(backrest_.command("--pg1-path=" + data() + " archive-get %f %p")); }

  std::string archive() const { return folder() + "/archive"; }

 private:
  const std::string& folder() const { return folder_.path(); }
  std::string data() const { return folder() + "/data"; }

  [[noreturn]] void feed(int ready) const {
    sys::become(sys::user_named("postgres"));
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // which a change of the user takes off
    std::vector<Problem> problems;
    const postgres::WalArchive found({archive()}, problems);
    std::vector<postgres::Handed> files;
    for (const std::string& name : names_) files.push_back({name, name});
    const postgres::Feeder feeds(found, files, postgres::default_segment_size, data());
    if (write(ready, "+", 1) != 1) _exit(1);
    for (;;) pause();
  }

  void fresh(const std::string& command, const postgres::Settings& more) {
    as_postgres(fmt::format(
        "rm -rf {0}/data {0}/backrest/spool/*; cp -a {0}/base {0}/data; mkdir -p {0}/data/{1}; touch "
        "{0}/data/recovery.signal; rm -f {0}/data/pg_wal/0*; chmod 0700 {0}/data\n"
        "cat >>{0}/data/postgresql.conf <<'END'\n{2}END\nsync",
        folder(), postgres::work_folder,
        postgres::config_text({{"restore_command", command},
                               {"listen_addresses", ""},
                               {"unix_socket_directories", folder()},
                               {"port", "5433"},
                               {"fsync", "on"},
                               {"archive_mode", "off"},
                               {"hot_standby", "on"}}) +
            postgres::config_text(more)));
  }

  sys::Sql connect() const {
    return sys::Sql("host=" + folder() + " port=5433 user=postgres dbname=postgres", {});
  }

  double to_primary(Clock::time_point began) {
    // In a session of its own, which it must have before the script ends: what a command leaves in its group
    // is ended with it.
    as_postgres(
        fmt::format("setsid -f {0} -D {1} >{2}/log 2>&1 </dev/null\n"
                    "for i in {{1..500}}; do [ -e {1}/postmaster.pid ] && exit 0; sleep 0.01; done; cat "
                    "{2}/log >&2; exit 1",
                    Postgres::program("postgres"), data(), folder()));
    const bool up = sys::wait_until(std::chrono::minutes(5), std::chrono::milliseconds(5), {}, [&] {
      try {
        return connect().query("select pg_is_in_recovery()").one() == "f";
      } catch (const Error&) {
        return false;
      }
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const std::string rows =
        up ? connect().query("select sum(abalance) || ' ' || count(*) from pgbench_accounts").one() : "";
    as_postgres(Postgres::program("pg_ctl") + " -D " + data() + " -m immediate -s stop");
    if (!up)
      throw Error(ErrorKind::permanent, "the server did not become a primary", data(),
                  sys::read_file(folder() + "/log").substr(0, 3000));
    if (!rows_) rows_ = rows;
    if (rows != rows_) throw Error(ErrorKind::permanent, "another end was reached", data(), rows);
    return seconds;
  }

  PostgresFolder folder_;
  Backrest backrest_;
  std::vector<std::string> names_;
  std::optional<std::string> rows_;  // that every way must end with
};

}  // namespace

int wal(const std::string& name, double target, const std::string& packing, const Peer& peer,
        Written written) {
  return exit_of([&] {
    Scene scene(packing, written);
    compare(
        name, target, 5, [&] { return scene.fed(); }, [&] { return scene.by(peer(scene.archive())); });
  });
}

int wal_against_backrest(const std::string& name, double target) {
  return exit_of([&] {
    Scene scene("gz", Written::loaded, true);
    compare(
        name, target, 5, [&] { return scene.fed(); }, [&] { return scene.by_backrest(); });
  });
}

}  // namespace relight::bench
