// A recovery whose archive is slow and fails in passing, and one whose feeder is killed while the server
// replays.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/matrix/crashing.h"
#include "tests/support/program.h"
#include "tests/support/recovery.h"
#include "tests/support/skip.h"

using namespace relight;
using namespace std::chrono_literals;

#ifndef FLAKY_FS  // without libfuse
#define FLAKY_FS "/nowhere"
#endif

namespace {

bool has_fuse() {
  const bool has = sys::exists(FLAKY_FS) && sys::exists("/dev/fuse");
  if (!has) not_run_here("there is no FUSE (scripts/packages test)");
  return has;
}

// Eight segments with a row each, archived plainly and packed.
struct Life {
  Source source;
  sys::TempFolder packed;
  Life() {
    for (int i = 1; i <= 8; ++i) {
      source.insert(i);
      source.server.archive_now();
    }
    source.server.stop();
    sys::Command gzip;
    gzip.argv = {"sh",
                 "-ec",
                 "cp $1/* $2/; cd $2; ls | grep -v '[.]' | xargs gzip",
                 "-",
                 source.server.archive_folder(),
                 packed.path()};
    sys::output_of(gzip, "cannot pack the archive");
    give_to_postgres(packed.path());
  }
};

const Life& life() {
  static const Life one;
  return one;
}

// `folder` seen through a file system whose reads take their time, and fail as often as it is told.
class BadNetwork {
 public:
  explicit BadNetwork(const std::string& folder) {
    sys::make_folders(mount());
    faults(0);
    give_to_postgres(place_.path());
    std::filesystem::permissions(place_.path(), std::filesystem::perms(0755));
    thread_ = std::thread([this, folder] {
      sys::Command command;
      command.argv = {FLAKY_FS, folder, mount(), "5", place_.path() + "/faults"};
      sys::run(command);
    });
    is_up = sys::wait_until(20s, 10ms, {}, [&] { return !sys::names_in(mount()).empty(); });
  }
  ~BadNetwork() {
    umount2(mount().c_str(), MNT_DETACH);
    thread_.join();
  }
  std::string mount() const { return place_.path() + "/wal"; }
  void faults(int count) const { sys::write_file(place_.path() + "/faults", std::to_string(count), 0666); }
  bool all_happened() const { return sys::read_file(place_.path() + "/faults") == "0"; }
  bool is_up = false;

 private:
  const sys::TempFolder place_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("an archive that answers slowly, and fails twice at every look, is recovered from in one run") {
  if (!has_fuse()) return;
  for (const std::string& archive : {life().source.server.archive_folder(), life().packed.path()}) {
    CAPTURE(archive);
    const BadNetwork network(archive);
    if (!network.is_up) return not_run_here("no file system can be mounted by FUSE");
    const RecoverAttempt attempt({{"base", life().source.base}, {"wal", {network.mount()}}});
    network.faults(2);
    const Outcome plan = attempt.preview();
    CHECK(plan.error == "");
    CHECK(plan.value["problems"] == Json::array());
    CHECK(network.all_happened());
    network.faults(2);
    const Outcome ran = attempt.apply([&](const Point& point) {
      if (point.name == "postgres.recover:decided" || point.name == "postgres.recover:prepared") {
        if (!network.all_happened()) return EIO;
        network.faults(2);
      }
      return 0;
    });
    CHECK(ran.error == "");
    CHECK(network.all_happened());
    CHECK(rows_of(attempt.data()) == "1 2 3 4 5 6 7 8");
  }
}

TEST_CASE("an archive that fails for good ends the recovery, says why, and leaves the target as it was") {
  if (!has_fuse()) return;
  const BadNetwork network(life().packed.path());
  if (!network.is_up) return not_run_here("no file system can be mounted by FUSE");
  const RecoverAttempt attempt({{"base", life().source.base}, {"wal", {network.mount()}}});
  const Outcome ran = attempt.apply([&](const Point& point) {
    if (point.name == "postgres.recover:prepared") network.faults(1'000'000);
    return 0;
  });
  CHECK_MESSAGE(ran.error.find("Input/output error") != std::string::npos, ran.error);
  CHECK_FALSE(sys::exists(attempt.data()));
  network.faults(0);
  CHECK(attempt.apply().error == "");
  CHECK(rows_of(attempt.data()) == "1 2 3 4 5 6 7 8");
}

TEST_CASE("a feeder that is killed while the server replays promotes nothing, and the run goes on") {
  const Bench bench;
  const sys::TempFolder folder;
  give_to_postgres(folder.path());
  const std::string data = folder.path() + "/data";
  bench.write("book.lua", R"(
runbook "recover" {}
local input = inputs { base = { doc = "base", type = "path" }, wal = { doc = "wal", type = "path" },
                       data = { doc = "data", type = "path" } }
postgres.recover "database" { base = input.base, wal = { input.wal }, data = input.data, as = "postgres" }
)");
  Crashing crashing;
  const auto run = [&](std::vector<std::string> words, const Crash& crash) {
    crashing.expect(crash, {}, {});
    sys::Command command;
    command.argv = {crashing_program(), "--state", bench.file(bench.state)};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    command.extra_env[crash_variable] = crashing.path();
    std::string errors;
    command.on_output = [&](std::string_view bytes) { errors += bytes; };
    command.stop = [&] {
      crashing.strike_if_asked();
      return false;
    };
    const sys::Result result = sys::run(command);
    return Ran{result.exit_code, result.out, errors};
  };
  const Ran killed =
      run({"run", bench.file("book.lua"), "--set", "base=" + life().source.base, "--set",
           "wal=" + life().packed.path(), "--set", "data=" + data},
          {.kind = CrashFile::Kind::kill, .name = "postgres.recover:half_fed", .victims = CrashFile::passer});
  INFO(killed.out, killed.err);
  CHECK(crashing.struck() == "postgres.recover:half_fed");
  CHECK(killed.exit == 1);
  CHECK(flat(killed.out + killed.err).find("the step broke off: database: its process ended with 137") !=
        std::string::npos);
  CHECK(crashing.alive().empty());
  CHECK_FALSE(sys::exists(data));
  // What it had begun is not promoted: it has no timeline of its own.
  std::size_t begun = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    ++begun;
    CHECK_FALSE(sys::exists(entry.path().string() + "/pg_wal/00000002.history"));
    CHECK(sys::exists(entry.path().string() + "/recovery.signal"));
  }
  CHECK(begun == 1);

  const Ran resumed = run({"resume"}, {});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  CHECK(rows_of(data) == "1 2 3 4 5 6 7 8");
}
