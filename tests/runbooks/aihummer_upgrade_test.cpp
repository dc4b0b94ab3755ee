// The AiHummer runbook upgrades a host that runs, and goes back by itself from releases that are broken: on a
// machine of its own. Ember stands in for the product; systemd, PostgreSQL and relight are the real ones.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/http.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/runbooks/aihummer_host.h"
#include "tests/support/ember_host.h"
#include "tests/support/machine.h"
#include "tests/support/program.h"
#include "tests/support/unit.h"

using namespace relight;

namespace {

// A note of a version that knows more of it says nothing else of the old one.
std::string listing() {
  std::string text = aihummer_host({"listing"});
  for (const std::string more = R"("pinned":false,)"; text.find(more) != std::string::npos;)
    text.erase(text.find(more), more.size());
  return text;
}

std::string version() {
  sys::HttpRequest request;
  request.url = "http://127.0.0.1:8080/api/health";
  return Json::parse(sys::http(request).body).at("version");
}

struct Upgrade : Bench {
  std::vector<std::string> words(const std::string& command, const std::string& to) const {
    const std::string folder = shared_folder();
    write("inputs.json",
          Json{{"from", "1.0.0"},
               {"version", to},
               {"releases", folder + "/releases"},
               {"backup", backup(to)},
               {"blobs", folder + "/blobs"},
               {"unchanged", "select md5(string_agg(id || title || body, ',' order by id)) from notes"},
               {"within", to == "1.1.0" ? "1m" : "2s"},
               {"hold", "1s"}}
              .dump());
    return {command, RELIGHT_SOURCE_DIR "/runbooks/aihummer/upgrade.lua", "--inputs", file("inputs.json")};
  }
  static std::string backup(const std::string& to) { return shared_folder() + "/before-" + to; }

  void is_back(const std::string& from) const {
    CHECK(run_state() == "rolled-back");
    CHECK(version() == "1.0.0");
    CHECK(listing() == sys::read_file(shared_folder() + "/expected"));
    CHECK(systemctl({"is-active", "aihummer"}) == 0);
    CHECK(relight({"verify", backup(from)}).exit == 0);
  }
};

}  // namespace

TEST_CASE("an AiHummer host is upgraded, and comes back from broken releases by itself") {
  sys::TempFolder folder("/var/tmp");
  chmod(folder.path().c_str(), 0755);  // PostgreSQL reads and writes there
  run_in_machine(__FILE__, {"upgraded*", folder.path()});
}

TEST_SUITE_BEGIN("machine");

TEST_CASE("upgraded") {
  aihummer_host({"run", EMBER_FOLDER, shared_folder()});
  REQUIRE(version() == "1.0.0");
  const Upgrade upgrade;

  const Ran plan = upgrade.relight(upgrade.words("plan", "1.1.0"));
  INFO(plan.out, plan.err);
  REQUIRE(plan.exit == 0);
  CHECK_FALSE(sys::exists(Upgrade::backup("1.1.0")));

  // It says that all is well, and has changed a note.
  const Ran corrupts = upgrade.relight(upgrade.words("run", "1.2.0-corrupts"));
  INFO(corrupts.out, corrupts.err);
  CHECK(corrupts.exit == 3);
  upgrade.is_back("1.2.0-corrupts");

  // It never says that it is well; and relight is killed on the way back.
  CHECK(killed_when(upgrade, upgrade.words("run", "1.2.0-health"), "keep-database", "undoing"));
  const Ran resumed = upgrade.relight({"resume"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 3);
  upgrade.is_back("1.2.0-health");

  // It is slow to stop, and a client commits until it is refused.
  const std::string commits = upgrade.file("commits");
  std::thread client([&] { aihummer_host({"commit", commits}); });
  const Ran good = upgrade.relight(upgrade.words("run", "1.1.0"));
  client.join();
  INFO(good.out, good.err);
  REQUIRE(good.exit == 0);
  CHECK(version() == "1.1.0");
  CHECK(sys::exists(commits));
  CHECK(aihummer_host({"lost", commits}) == "");
  CHECK(upgrade.relight({"verify", Upgrade::backup("1.1.0")}).exit == 0);

  const Ran back = upgrade.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  CHECK(upgrade.run_state() == "rolled-back");
  CHECK(version() == "1.0.0");
  CHECK(aihummer_host({"lost", commits}) == "");
}

TEST_SUITE_END();
