#include <doctest/doctest.h>
#include <unistd.h>

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
  return type_named("package.pin");
}

// One step in one Debian; every call is a later attempt of the same step.
struct Pin {
  Pin(const Debian& debian_, const std::string& fields)
      : debian(debian_), params(type(), fields), step(type().make()) {}
  Json apply() const {
    RootedCall call(debian, "pin");
    return step->apply(params, call);
  }
  void undo() const {
    RootedCall call(debian, "pin");
    step->undo(params, call, nullptr);
  }
  Preview preview() const {
    RootedCall call(debian, "pin");
    call.preview_only = true;
    return step->preview(params, call);
  }
  std::string digest() const {
    RootedCall call(debian, "pin");
    return step->state_digest(params, call);
  }
  const Debian& debian;
  TestParams params;
  std::unique_ptr<Step> step;
};

std::string apt(std::vector<std::string> argv) {
  sys::Command command;
  command.argv = std::move(argv);
  command.extra_env["DEBIAN_FRONTEND"] = "noninteractive";
  return sys::output_of(command, "apt fails");
}

std::string held() {
  return sys::join(sys::split(sys::trim(apt({"apt-mark", "showhold"})), '\n'), ", ");
}

std::string problem(const Preview& preview) {
  REQUIRE(preview.problems.size() == 1);
  const Problem& one = preview.problems.front();
  return one.what + ": " + one.on + ": " + one.why;
}

// lamp in three versions, the first of which is there.
struct Lamps {
  Lamps() {
    for (const char* version : {"1.0", "2.0", "3.0"})
      debian.add("lamp", version, "Depends: oil (>= " + std::string(version) + ")\n");
    for (const char* version : {"1.0", "2.0", "3.0"}) debian.add("oil", version);
    debian.update();
    debian.install("oil=1.0");
    debian.install("lamp=1.0");
  }
  Debian debian;
};

}  // namespace

TEST_CASE("one version, held against an upgrade, and back") {
  Lamps lamps;
  const Pin pin(lamps.debian, R"({"package": "lamp", "version": "2.0"})");
  const std::string before = pin.digest();
  const Preview preview = pin.preview();
  CHECK(preview.problems.empty());
  CHECK(preview.verdict == Preview::Verdict::would_change);
  CHECK(preview.summary == "pin lamp 1.0 -> 2.0, held");
  CHECK(preview.hints == std::vector<std::string>{"changes, too: oil 1.0 -> 3.0"});
  CHECK(preview.cannot_undo == "");
  CHECK(pin.digest() == before);

  CHECK(pin.apply() == Json({{"before", {{"lamp", "1.0"}}},
                             {"after", {{"lamp", "2.0"}}},
                             {"changed", true},
                             {"held_before", Json::array()},
                             {"held", {"lamp"}}}));
  CHECK(lamps.debian.there() == "lamp 2.0, oil 3.0");
  CHECK(held() == "lamp");
  const std::string after = pin.digest();
  pin.apply();
  CHECK(pin.digest() == after);
  CHECK(pin.preview().verdict == Preview::Verdict::nothing_to_do);
  CHECK(pin.preview().summary == "lamp 2.0: there and held");

  // What unattended-upgrades does.
  apt({"apt-get", "-y", "-q", "dist-upgrade"});
  CHECK(lamps.debian.there() == "lamp 2.0, oil 3.0");

  pin.undo();
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
  CHECK(held() == "");
  CHECK(pin.digest() == before);
  pin.undo();
  CHECK(pin.digest() == before);
}

TEST_CASE("several at once, one of them new, one of them there: only what is missing is done") {
  Lamps lamps;
  lamps.debian.add("wick", "7-1~deb12u1");
  lamps.debian.update();
  const Pin pin(lamps.debian, R"({"packages": {"lamp": "1.0", "oil": "2.0", "wick": "7-1~deb12u1"}})");
  const std::string before = pin.digest();
  CHECK(pin.preview().summary == "pin oil 1.0 -> 2.0, wick 7-1~deb12u1, held");
  const Json outputs = pin.apply();
  CHECK(outputs["before"] == Json({{"lamp", "1.0"}, {"oil", "1.0"}, {"wick", ""}}));
  CHECK(lamps.debian.there() == "lamp 1.0, oil 2.0, wick 7-1~deb12u1");
  CHECK(held() == "lamp, oil, wick");
  pin.undo();
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
  CHECK(held() == "");
  CHECK(pin.digest() == before);
}

TEST_CASE("a downgrade is told as one, and a hold that was there is there again") {
  Lamps lamps;
  lamps.debian.install("lamp=3.0");
  apt({"apt-mark", "hold", "lamp"});
  const Pin pin(lamps.debian, R"({"package": "lamp", "version": "2.0"})");
  const std::string before = pin.digest();
  CHECK(pin.preview().hints == std::vector<std::string>{"a downgrade: lamp 3.0 -> 2.0"});
  const Json outputs = pin.apply();
  CHECK(outputs["held_before"] == Json({"lamp"}));
  CHECK(lamps.debian.there() == "lamp 2.0, oil 3.0");
  CHECK(held() == "lamp");
  pin.undo();
  CHECK(lamps.debian.there() == "lamp 3.0, oil 3.0");
  CHECK(held() == "lamp");
  CHECK(pin.digest() == before);
}

TEST_CASE("where the version is there it is held; without hold the holds stay as they are") {
  Lamps lamps;
  const Pin pin(lamps.debian, R"({"package": "lamp", "version": "1.0"})");
  CHECK(pin.preview().summary == "hold lamp at lamp 1.0");
  CHECK(pin.apply()["changed"] == false);
  CHECK(held() == "lamp");
  sys::remove_file(lamps.debian.notes());

  const Pin loose(lamps.debian, R"({"package": "lamp", "version": "2.0", "hold": false})");
  CHECK(loose.apply()["held"] == Json({"lamp"}));
  CHECK(lamps.debian.there() == "lamp 2.0, oil 3.0");
  loose.undo();
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
  CHECK(held() == "lamp");

  sys::remove_file(lamps.debian.notes());
  apt({"apt-mark", "unhold", "lamp"});
  CHECK(loose.apply()["held"] == Json::array());
  CHECK(held() == "");
  loose.undo();

  // Held by somebody else since: none of this step's.
  sys::remove_file(lamps.debian.notes());
  const Pin there(lamps.debian, R"({"package": "lamp", "version": "1.0", "hold": false})");
  CHECK(there.apply()["changed"] == false);
  apt({"apt-mark", "hold", "lamp"});
  there.undo();
  CHECK(held() == "lamp");
}

TEST_CASE("what is no pin is refused before apt is asked") {
  Lamps lamps;
  const auto refusal = [&](const std::string& fields) {
    const Pin pin(lamps.debian, fields);
    const std::string told = told_error([&] { pin.apply(); });
    CHECK("refused: " + problem(pin.preview()) == told);
    return told;
  };
  CHECK(refusal(R"({"package": "lamp", "version": "2.*"})") ==
        "refused: not a pinned version: lamp 2.*: a pin is one exact version, and no pattern");
  CHECK(refusal(R"({"packages": {"lamp": ""}})") ==
        "refused: not a pinned version: lamp : a pin is one exact version, and no pattern");
  CHECK(refusal(R"({"packages": {"-olamp": "1.0"}})") ==
        "refused: not a package's name: -olamp: it may hold letters, digits and + - . :");
  CHECK(refusal(R"({"package": "lamp"})") ==
        "refused: cannot tell what to pin: package.pin: a package needs its version");
  CHECK(refusal(R"({"package": "lamp", "version": "1.0", "packages": {"oil": "1.0"}})") ==
        "refused: cannot tell what to pin: package.pin: `package` and `packages` are both given");
  CHECK(refusal(R"({"packages": {}})") ==
        "refused: cannot tell what to pin: package.pin: `packages` is empty");
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
}

TEST_CASE(
    "a version that is not to be had is told by the plan, unless apt knows nothing of the package yet") {
  Lamps lamps;
  const Pin pin(lamps.debian, R"({"package": "lamp", "version": "2.1"})");
  CHECK(problem(pin.preview()) ==
        "no repository offers the version: lamp 2.1: apt's lists have 3.0, 2.0, 1.0");
  CHECK(told_error([&] { pin.apply(); }) ==
        "refused: no repository offers the packages: lamp 2.1 (offered: 3.0, 2.0, 1.0): none of their "
        "versions is the one that is wanted");
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
  pin.undo();

  sys::remove_file(lamps.debian.notes());
  lamps.debian.add("wick", "7");
  const Pin wick(lamps.debian, R"({"package": "wick", "version": "7"})");
  CHECK(wick.preview().verdict == Preview::Verdict::cannot_yet_tell);
  wick.apply();
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0, wick 7");
}

TEST_CASE("a former version that is gone from the repository is told beforehand, and stops the way back") {
  Lamps lamps;
  lamps.debian.withdraw("lamp", "1.0");
  lamps.debian.update();
  const Pin pin(lamps.debian, R"({"package": "lamp", "version": "2.0"})");
  CHECK(pin.preview().cannot_undo == "the versions that no repository offers any more: lamp 1.0");
  pin.apply();
  CHECK(told_error([&] { pin.undo(); }) ==
        "needs_person: cannot put the former versions back: lamp 1.0, oil 1.0: no repository offers them any "
        "more, or "
        "dpkg would not: the step's log says which");
  CHECK(lamps.debian.there() == "lamp 2.0, oil 3.0");
  CHECK(held() == "");
}

TEST_CASE("no package is removed, and no other one that is held is changed") {
  Lamps lamps;
  lamps.debian.add("led", "1", "Conflicts: lamp\n");
  lamps.debian.update();
  const Pin led(lamps.debian, R"({"package": "led", "version": "1"})");
  CHECK(problem(led.preview()) ==
        "apt would remove packages: lamp: they conflict with what is to be installed");
  apt({"apt-mark", "hold", "oil"});
  const Pin lamp(lamps.debian, R"({"package": "lamp", "version": "3.0"})");
  const std::string told = "refused: " + problem(lamp.preview());
  CHECK(told ==
        "refused: apt sees no way to install: packages: E: Unable to correct problems, you have held broken "
        "packages.");
  CHECK(told_error([&] { lamp.apply(); }) == told);
  CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
  CHECK(held() == "oil");
}

TEST_CASE("nothing starts while a pin is brought in, and what was there is put back") {
  Lamps lamps;
  const std::string policy = lamps.debian.root() + "/usr/sbin/policy-rc.d";
  sys::write_file(policy, "mine", 0700);
  lamps.debian.add("wick", "7", "",
                   "$DPKG_ROOT/usr/sbin/policy-rc.d && exit 1 || echo $? > $DPKG_ROOT/told\n");
  lamps.debian.update();
  Pin(lamps.debian, R"({"package": "wick", "version": "7"})").apply();
  CHECK(sys::read_file(lamps.debian.root() + "/told") == "101\n");
  CHECK(sys::read_file(policy) == "mine");
}

TEST_CASE("a dpkg that was killed with relight is mended, or taken back, and the holds with it") {
  const std::string postinst =
      "[ -e $DPKG_ROOT/killed ] && exit 0; : > $DPKG_ROOT/killed; kill -9 $RELIGHT_TEST_PID; kill -9 0\n";
  for (const bool go_on : {true, false}) {
    Lamps lamps;
    lamps.debian.add("lamp", "4.0", "", postinst);
    lamps.debian.update();
    apt({"apt-mark", "hold", "lamp"});
    const Pin pin(lamps.debian, R"({"package": "lamp", "version": "4.0"})");
    const std::string before = pin.digest();
    REQUIRE(killed_at("none", [&] {
      setenv("RELIGHT_TEST_PID", std::to_string(getpid()).c_str(), 1);
      pin.apply();
    }));
    CHECK(lamps.debian.there() == "oil 1.0");
    CHECK(pin.preview().hints == std::vector<std::string>{"dpkg was left half done: it is mended first"});
    if (go_on) {
      pin.apply();
      CHECK(lamps.debian.there() == "lamp 4.0, oil 1.0");
      CHECK(held() == "lamp");
    }
    pin.undo();
    CHECK(lamps.debian.there() == "lamp 1.0, oil 1.0");
    CHECK(held() == "lamp");
    CHECK(pin.digest() == before);
  }
}
