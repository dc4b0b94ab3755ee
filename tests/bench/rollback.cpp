// How long a service of a 1 GB database is away while it goes back from an upgrade, against a restart of the
// service alone: Ember, upgraded by its runbook and rolled back, seen by a client that asks every 20 ms.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <thread>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/http.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/bench/measure.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"

namespace {

using namespace relight;
using Clock = std::chrono::steady_clock;

constexpr const char* version_before = "1.0.0";
constexpr const char* version_after = "1.1.0";

class Host {
 public:
  Host() {
    chmod(root_.c_str(), 0755);
    postgres_.execute("create role ember login");
    postgres_.execute("create database ember owner ember");
    for (const char* version : {version_before, version_after})
      shell(fmt::format("mkdir -p releases/ember-{0}; cp -r {1}/{0}/bin releases/ember-{0}", version,
                        EMBER_FOLDER));
    shell(
        fmt::format("mkdir -p home/releases home/blobs home/run; cp -r releases/ember-{0} home/releases/{0}; "
                    "ln -s releases/{0} home/current",
                    version_before));
    sys::write_file(
        root_ + "/home/env",
        fmt::format(
            "EMBER_DATABASE_URL=\"{} user=ember\"\nEMBER_BLOB_DIR={}/home/blobs\nEMBER_MASTER_KEY={}\n"
            "EMBER_MEDIA_TOKEN_SECRET={}\nEMBER_LISTEN=127.0.0.1:{}\nEMBER_DRAIN=0\n",
            postgres_.conninfo("ember"), root_, sys::to_base64(std::string(32, 'k')),
            sys::to_base64(std::string(32, 'm')), port_),
        0600);
    shell("chown -R nobody home/env home/blobs home/run");
    start();
    wait_until_up();
    postgres_.execute(
        "create table ballast as select i, repeat(md5(i::text), 32) as text from generate_series(1, 960000) "
        "i",
        "ember");
    postgres_.execute("checkpoint");
    const std::string size = postgres_.value("select pg_size_pretty(pg_database_size('ember'))");
    fmt::print(stderr, "a database of {}\n", size);
    upgrade(false);  // which takes the backup that the others stand on
    rollback();
    free_kept();
  }
  ~Host() {
    try {
      stop();
    } catch (const Error&) {
    }
  }

  // From the last answer before to the first one after it, at the longest.
  double away(const std::function<void()>& act) {
    std::atomic<bool> over = false;
    double longest = 0;
    std::thread client([&] {
      auto last = Clock::now();
      while (!over) {
        if (answers()) {
          longest = std::max(longest, std::chrono::duration<double>(Clock::now() - last).count());
          last = Clock::now();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
    act();
    wait_until_up();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    over = true;
    client.join();
    return longest;
  }

  double restart() {
    return away([&] {
      stop();
      start();
    });
  }
  double upgrade(bool backup_is_there = true) {
    return away([&] {
      std::vector<std::string> words = {"run", RELIGHT_SOURCE_DIR "/examples/ember/upgrade.lua", "--yes"};
      std::map<std::string, std::string> inputs = {
          {"from", version_before},         {"version", version_after}, {"releases", root_ + "/releases"},
          {"backup", root_ + "/backup"},    {"home", root_ + "/home"},  {"port", std::to_string(port_)},
          {"server", postgres_.conninfo()}, {"user", "nobody"},         {"hold", "1s"}};
      if (backup_is_there) inputs["max_age"] = "24h";
      for (const auto& [name, value] : inputs) words.insert(words.end(), {"--set", name + "=" + value});
      relight(words);
    });
  }
  double rollback() {
    return away([&] { relight({"rollback", "--yes"}); });
  }
  void free_kept() { relight({"keep", "--drop", sys::names_in(root_ + "/state/runs").back(), "--yes"}); }

 private:
  void relight(std::vector<std::string> words) {
    words.insert(words.begin(), {RELIGHT_PROGRAM, "--state", root_ + "/state"});
    bench::seconds_of(words);
  }
  void shell(const std::string& line) const {
    sys::Command command;
    command.argv = {"/bin/bash", "-ec", line};
    command.cwd = root_;
    sys::output_of(command, "cannot prepare the benchmark");
  }
  void start() const {
    // In a session of its own, for what the command leaves in its group is ended with it.
    shell(
        "rm -f home/run/ember.pid; setsid -f sh -c 'echo $$ >home/run/ember.pid; exec setpriv --reuid nobody "
        "--regid nogroup --clear-groups home/current/bin/ember --env home/env serve' >>home/run/ember.log "
        "2>&1 "
        "</dev/null; until [ -s home/run/ember.pid ]; do sleep 0.005; done");
  }
  void stop() const {
    const auto ember = sys::process_now(std::stoi(sys::read_file(root_ + "/home/run/ember.pid")));
    kill(ember.pid, SIGTERM);
    if (!sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(5), {},
                         [&] { return !sys::alive(ember); }))
      std::exit(1);
  }
  bool answers() const {
    try {
      sys::HttpRequest request;
      request.url = fmt::format("http://127.0.0.1:{}/api/health", port_);
      request.timeout = std::chrono::seconds(1);
      return sys::http(request).status == 200;
    } catch (const Error&) {
      return false;
    }
  }
  void wait_until_up() const {
    if (!sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(5), {},
                         [&] { return answers(); })) {
      fmt::print(stderr, "bench: Ember does not come up\n");
      std::exit(1);
    }
  }

  sys::TempFolder folder_{"/var/tmp"};
  std::string root_ = folder_.path();
  Postgres postgres_{{.fsync = true, .settings = {{"max_wal_size", "'4GB'"}}}};
  int port_ = free_port();
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main() {
  Host host;
  std::vector<double> upgrades, rollbacks, restarts;
  bench::absolute("rollback", 5000, 5, [&] {
    restarts.push_back(host.restart());
    upgrades.push_back(host.upgrade());
    rollbacks.push_back(host.rollback());
    host.free_kept();
    return rollbacks.back() - restarts.back();
  });
  for (auto* times : {&upgrades, &rollbacks, &restarts}) times->erase(times->begin());  // the warm-up
  fmt::print("  away in a rollback {:.2f} s, in a restart alone {:.2f} s, in the upgrade {:.2f} s\n",
             median(rollbacks), median(restarts), median(upgrades));
}
