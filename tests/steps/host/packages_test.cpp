#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>

#include "runner/step/apt.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/support/crash.h"
#include "tests/support/debian.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("host.packages");
}

// One step in one Debian; every call is a later attempt of the same step.
struct Packages {
  Packages(const Debian& debian_, const std::string& install)
      : debian(debian_), params(type(), R"({"install": )" + install + "}"), step(type().make()) {}
  Json apply() const {
    RootedCall call(debian, "packages");
    return step->apply(params, call);
  }
  void undo() const {
    RootedCall call(debian, "packages");
    step->undo(params, call, nullptr);
  }
  Preview preview() const {
    RootedCall call(debian, "packages");
    call.preview_only = true;
    return step->preview(params, call);
  }
  std::string digest() const {
    RootedCall call(debian, "packages");
    return step->state_digest(params, call);
  }
  const Debian& debian;
  TestParams params;
  std::unique_ptr<Step> step;
};

}  // namespace

TEST_CASE("what dpkg and apt print is read") {
  const auto packages =
      parse_packages("installed\t1.0\tlamp\tamd64\nconfig-files\t2\toil\tall\nnot-installed\t\toil\ti386\n");
  CHECK(packages.at("lamp").version == "1.0");
  CHECK(packages.at("lamp:amd64").installed());
  CHECK_FALSE(packages.at("oil").there());

  const auto policy = parse_policy(
      "postgresql-15:\n  Installed: 15.20\n  Candidate: 15.19\n  Version table:\n *** 15.20 100\n        100 "
      "/var/lib/dpkg/status\n     15.19 500\n        500 http://x bookworm/main amd64 Packages\n     15.18 "
      "500\n        "
      "500 http://x bookworm/main amd64 Packages\nhello:\n  Installed: (none)\n  Candidate: (none)\n  "
      "Version table:\n");
  CHECK(policy.at("postgresql-15") == std::vector<std::string>{"15.19", "15.18"});
  CHECK_FALSE(policy.contains("hello"));

  const Simulation simulation = parse_simulation(
      "NOTE\nInst oil (1.5 localhost [all])\nInst lamp [1.0] (2.0 Debian:12 [amd64])\nRemv wax [3]\nConf oil "
      "(1.5)\n");
  REQUIRE(simulation.installs.size() == 2);
  CHECK(simulation.installs[0].old_version == "");
  CHECK(simulation.installs[1].name + " " + simulation.installs[1].old_version + " " +
            simulation.installs[1].version ==
        "lamp 1.0 2.0");
  CHECK(simulation.removes == std::vector<std::string>{"wax"});
  CHECK(version_fits("15.20-0+deb12u1", "15.*"));
  CHECK_FALSE(version_fits("115.2", "15.*"));
}

TEST_CASE("a pattern, dependencies, twice, and back") {
  Debian debian;
  debian.add("oil", "1.5");
  debian.add("lamp", "1.0", "Depends: oil\nRecommends: wick\n");
  debian.add("lamp", "2.0", "Depends: oil\nRecommends: wick\n");
  debian.add("wick", "1");
  debian.update();
  const Packages packages(debian, R"({"lamp": "1.*"})");
  const std::string before = packages.digest();

  const Preview preview = packages.preview();
  CHECK(preview.verdict == Preview::Verdict::would_change);
  CHECK(preview.problems.empty());
  CHECK(preview.summary == "install oil 1.5, lamp 1.0");
  CHECK(preview.space.at(debian.root() + "/usr") == 8192);
  CHECK(packages.digest() == before);

  CHECK(packages.apply() ==
        Json({{"versions", {{"lamp", "1.0"}}}, {"installed", {"lamp", "oil"}}, {"changed", true}}));
  CHECK(debian.there() == "lamp 1.0, oil 1.5");
  const std::string after = packages.digest();
  packages.apply();
  CHECK(packages.digest() == after);
  CHECK(packages.preview().verdict == Preview::Verdict::nothing_to_do);
  CHECK_FALSE(sys::exists(debian.root() + "/usr/sbin/policy-rc.d"));

  packages.undo();
  CHECK(debian.there() == "");
  CHECK(packages.digest() == before);
  packages.undo();
  CHECK(packages.digest() == before);
}

TEST_CASE("what is there already is left alone, and so is its undo") {
  Debian debian;
  debian.add("oil", "1.5");
  debian.update();
  debian.install("oil");
  debian.add("oil", "1.6");
  debian.update();
  const Packages packages(debian, R"({"oil": "1.*"})");
  CHECK(packages.apply() ==
        Json({{"versions", {{"oil", "1.5"}}}, {"installed", Json::array()}, {"changed", false}}));
  packages.undo();
  CHECK(debian.there() == "oil 1.5");
}

TEST_CASE("nothing starts while packages are installed, and what was there is put back") {
  Debian debian;
  const std::string policy = debian.root() + "/usr/sbin/policy-rc.d";
  const std::string clusters = debian.root() + "/etc/postgresql-common/createcluster.conf";
  sys::write_file(policy, "mine", 0700);
  debian.add("postgresql-99", "1", "",
             "$DPKG_ROOT/usr/sbin/policy-rc.d && exit 1 || echo $? > $DPKG_ROOT/policy\n"
             "cp $DPKG_ROOT/etc/postgresql-common/createcluster.conf $DPKG_ROOT/clusters\n");
  debian.update();
  const Packages packages(debian, R"({"postgresql-99": "*"})");
  packages.apply();
  CHECK(sys::read_file(debian.root() + "/policy") == "101\n");
  CHECK(sys::read_file(debian.root() + "/clusters") == "create_main_cluster = false\n");
  CHECK(sys::read_file(policy) == "mine");
  CHECK_FALSE(sys::exists(clusters));
}

TEST_CASE("an upgrade says what cannot be undone, and goes back where it can") {
  Debian debian;
  debian.add("oil", "1.5");
  debian.update();
  debian.install("oil");
  debian.add("oil", "2.0");
  debian.update();
  const Packages packages(debian, R"({"oil": "2.*"})");
  CHECK(packages.preview().summary == "install oil 1.5 -> 2.0");
  CHECK(packages.preview().cannot_undo == "");
  packages.apply();
  CHECK(debian.there() == "oil 2.0");
  packages.undo();
  CHECK(debian.there() == "oil 1.5");

  debian.withdraw("oil", "1.5");
  debian.update();
  CHECK(packages.preview().cannot_undo == "the versions that no repository offers any more: oil 1.5");
}

TEST_CASE("lists that are too old are updated, a version that nobody offers is refused") {
  Debian debian;
  debian.add("oil", "1.5");
  debian.update();
  debian.add("lamp", "1.0");
  const Packages packages(debian, R"({"lamp": "1.0"})");
  const Preview preview = packages.preview();
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(preview.hints ==
        std::vector<std::string>{"apt offers no lamp 1.0 (not known): the step runs apt-get update first"});
  packages.apply();
  CHECK(debian.there() == "lamp 1.0");

  const Packages absent(debian, R"({"oil": "7"})");
  CHECK(told_error([&] { absent.apply(); }) ==
        "refused: no repository offers the packages: oil 7 (offered: 1.5): none of their versions is the one "
        "that is wanted");
  CHECK(debian.there() == "lamp 1.0");
}

TEST_CASE("packages are not removed to make room, nor taken from under others") {
  Debian debian;
  debian.add("oil", "1.5");
  debian.add("led", "1", "Conflicts: oil\n");
  debian.add("lamp", "1.0", "Depends: oil\n");
  debian.update();
  const Packages oil(debian, R"({"oil": "*"})");
  oil.apply();
  const Packages led(debian, R"({"led": "*"})");
  REQUIRE(led.preview().problems.size() == 1);
  CHECK(led.preview().problems.front().what == "apt would remove packages");
  CHECK(told_error([&] { led.apply(); }) ==
        "refused: apt would remove packages: oil: they conflict with what is to be installed");

  debian.install("lamp");
  CHECK(told_error([&] { oil.undo(); }) ==
        "needs_person: cannot remove the packages: oil: lamp was installed since and needs them");
  CHECK(debian.there() == "lamp 1.0, oil 1.5");
}

TEST_CASE("a dpkg that was killed with relight is mended, or taken back") {
  const std::string postinst =
      "[ -e $DPKG_ROOT/killed ] && exit 0; : > $DPKG_ROOT/killed; kill -9 $RELIGHT_TEST_PID; kill -9 0\n";
  for (const bool go_on : {true, false}) {
    Debian debian;
    sys::write_file(debian.root() + "/usr/sbin/policy-rc.d", "mine", 0700);
    debian.add("oil", "1.5", "", postinst);
    debian.add("lamp", "1.0", "Depends: oil\n");
    debian.update();
    const Packages packages(debian, R"({"lamp": "*"})");
    const std::string before = packages.digest();
    REQUIRE(killed_at("none", [&] {
      setenv("RELIGHT_TEST_PID", std::to_string(getpid()).c_str(), 1);
      packages.apply();
    }));
    CHECK(debian.there() == "");
    CHECK(sys::read_file(debian.root() + "/usr/sbin/policy-rc.d") != "mine");
    CHECK(packages.preview().hints ==
          std::vector<std::string>{"dpkg was left half done: it is mended first"});
    if (go_on) {
      packages.apply();
      CHECK(debian.there() == "lamp 1.0, oil 1.5");
      CHECK(sys::read_file(debian.root() + "/usr/sbin/policy-rc.d") == "mine");
    }
    packages.undo();
    CHECK(packages.digest() == before);
    CHECK(sys::read_file(debian.root() + "/usr/sbin/policy-rc.d") == "mine");
  }
}
