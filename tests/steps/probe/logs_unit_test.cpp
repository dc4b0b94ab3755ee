// probe.logs of a unit, by a real systemd and its journal.
#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"
#include "tests/support/error.h"
#include "tests/support/machine.h"
#include "tests/support/unit.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

std::string apply(const TestUnit& unit, Json params) {
  params["unit"] = unit.name();
  const StepType& type = type_named("probe.logs");
  const TestParams checked(type, params.dump());
  TestCall call("migrated");
  return told_error([&] { type.make()->apply(checked, call); });
}

// Says `first` at its first start, to stdout, and `then` at each later one, to stderr; then it goes on as
// told.
void install(const TestUnit& unit, const std::string& first, const std::string& then, const std::string& on) {
  unit.install(
      "Restart=on-failure\nExecStart=" +
          unit.script("talk", "#!/bin/sh\nif mkdir " + unit.path("second") + "\nthen echo starts; echo '" +
                                  first + "'\nelse echo '" + then + "' >&2\nfi\n" + on + "\n"),
      "[Unit]\nStartLimitIntervalSec=0\n");
}

const Json bad = {{"must_not", {"(?i)migration.*failed"}}};

}  // namespace

TEST_CASE("probe.logs reads the journal of a unit of a real systemd") {
  run_in_machine(__FILE__);
}

TEST_SUITE_BEGIN("machine");

TEST_CASE("a unit's journal counts from its last start on, both of its streams, and no other unit's") {
  const TestUnit unit("talks"), other("other");
  install(unit, "migration 1 failed", "migration 2 applied",
          "while [ ! -e " + unit.path("go") + " ]; do sleep 0.01; done; echo ready; exec sleep 1000");
  install(other, "migration 3 failed", "", "exec sleep 1000");
  CHECK(apply(unit, bad) ==
        "permanent: the probe did not pass: the log of unit talks: cannot read the journal: talks: it was "
        "not started");
  const UnitStep start("service.start", unit);
  const Json first = start.apply();
  REQUIRE(systemctl({"start", other.name()}) == 0);
  CHECK(apply(unit, {{"must_not", {"migration.*failed"}}, {"service", first["identity"]}}) ==
        "permanent: the log holds what it must not: unit talks: line 2 matches /migration.*failed/: "
        "migration 1 "
        "failed");
  CHECK(apply(other, {{"must", {"migration 3 failed"}}}) == "none");

  REQUIRE(systemctl({"restart", unit.name()}) == 0);
  CHECK(apply(unit, {{"must_not", {"failed", "starts"}}, {"must", {"^migration 2 applied$"}}}) == "none");
  CHECK(apply(unit, {{"must", {"migration 1", "migration 3"}}}) ==
        "permanent: the probe did not pass: the log of unit talks: no line matches /migration 1/, /migration "
        "3/");
  CHECK(apply(unit, {{"must_not", {"failed"}}, {"service", first["identity"]}})
            .find("the service has ended: unit talks: it was started again since") != std::string::npos);

  // What is yet to be said is waited for.
  unit.script("go", "");
  CHECK(apply(unit, {{"must", {"^ready$"}}, {"must_not", {"failed"}}, {"within", "1m"}, {"every", "20ms"}}) ==
        "none");
}

TEST_CASE("a unit that systemd starts again by itself has not passed with what it says then") {
  const TestUnit unit("dies");
  install(unit, "migration 1 failed", "all is well",
          "[ -e " + unit.path("died") + " ] && exec sleep 1000; while [ ! -e " + unit.path("go") +
              " ]; do sleep 0.01; done; touch " + unit.path("died") + "; exit 1");
  const Json first = UnitStep("service.start", unit).apply();
  unit.script("go", "");
  REQUIRE(sys::wait_until(30s, 20ms, {}, [&] {
    return unit.state() == "active" && sys::exists(unit.path("died")) && unit.property("NRestarts") == "1";
  }));
  CHECK(apply(unit, {{"must", {"all is well"}}, {"within", "1m"}, {"every", "20ms"}}) == "none");
  CHECK(apply(unit, {{"must", {"all is well"}}, {"within", "1m"}, {"service", first["identity"]}})
            .find("it was started again since") != std::string::npos);
}

TEST_SUITE_END();
