// The AiHummer runbook rebuilds a lost host: on machines of their own, one that is lost and a new one for
// each way back. Ember stands in for the product; systemd, PostgreSQL and relight are the real ones.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/runbooks/aihummer_host.h"
#include "tests/support/machine.h"
#include "tests/support/program.h"
#include "tests/support/unit.h"

using namespace relight;

namespace {

struct Rebuild : Bench {
  explicit Rebuild(const std::string& by) {
    const std::string folder = shared_folder();
    Json inputs = {{"version", "1.4.2"},
                   {"backup", folder + "/backup"},
                   {"keys", "file:" + folder + "/keys.env"},
                   {"blobs", "/srv/aihummer/blobs"},
                   {"user", "aihummer"},
                   {"by", by},
                   {"lost_at", sys::trim(sys::read_file(folder + "/lost_at"))}};
    if (by == "wal") inputs["anew"] = anew;
    write("inputs.json", inputs.dump());
    expected = sys::read_file(folder + "/expected-" + by);
  }
  std::vector<std::string> words(const std::string& command,
                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {command, RELIGHT_SOURCE_DIR "/runbooks/aihummer/rebuild.lua",
                                      "--inputs", file("inputs.json")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Ran plan() const { return relight(words("plan")); }
  Ran run() const { return relight(words("run", {"--yes", "--approve", "fenced"})); }

  // Everything is there again, every secret opens, every link that was signed before the loss is good.
  void proved() const {
    CHECK(aihummer_host({"listing"}) == expected);
    CHECK(run_state() == "done");
    CHECK(systemctl({"is-active", "aihummer"}) == 0);
    CHECK(systemctl({"is-enabled", "aihummer"}) == 0);
  }

  std::string expected;
  const std::string anew = "/srv/anew";
};

}  // namespace

TEST_CASE("a lost AiHummer host is rebuilt by WAL, and by the day's dump") {
  sys::TempFolder folder("/var/tmp");
  chmod(folder.path().c_str(), 0755);  // PostgreSQL reads and writes there
  for (const char* one : {"a host lives", "rebuilt by WAL*", "rebuilt by dump*"})
    if (!run_in_machine(__FILE__, {one, folder.path()})) return;
}

TEST_SUITE_BEGIN("machine");

TEST_CASE("a host lives") {
  aihummer_host({"live", EMBER_FOLDER "/1.0.0/bin/ember", shared_folder()});
}

TEST_CASE("rebuilt by WAL, with every commit, though relight is killed on the way") {
  const Rebuild rebuild("wal");
  const Ran plan = rebuild.plan();
  INFO(plan.out, plan.err);
  CHECK(plan.exit == 0);
  CHECK_FALSE(sys::exists("/opt/aihummer"));
  const int pid = rebuild.start(rebuild.words("run", {"--yes", "--approve", "fenced"}));
  wait_for_file("/etc/aihummer/env");
  kill(pid, SIGKILL);
  CHECK(wait_for_exit(pid) == 128 + SIGKILL);
  const Ran resumed = rebuild.relight({"resume", "--yes"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  rebuild.proved();
  CHECK(sys::is_folder("/var/lib/postgresql/15/main"));
  // The new timeline has a base backup, and an archive that leads on from it.
  CHECK(resumed.out.find("NOT PROTECTED") == std::string::npos);
  const Ran window = rebuild.relight({"window", rebuild.anew});
  INFO(window.out, window.err);
  CHECK(window.exit == 0);
  CHECK(window.out.find("begins with " + rebuild.anew + "/base") != std::string::npos);
}

TEST_CASE("rebuilt by dump, as it was when that was made") {
  const Rebuild rebuild("dump");
  const Ran plan = rebuild.plan();
  INFO(plan.out, plan.err);
  CHECK(plan.exit == 0);
  const Ran ran = rebuild.run();
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  rebuild.proved();
}

TEST_SUITE_END();
