// service.start and service.stop of a unit, by a real systemd on a machine of its own.
#include <doctest/doctest.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/machine.h"
#include "tests/support/unit.h"

using namespace relight;

namespace {

struct Unit : Fixture {
  Unit() : unit_("contract") {
    add_neighbours(path("run"));
    unit_.install("ExecStart=/bin/sleep 1000", "[Unit]\nStartLimitIntervalSec=0\n");
  }
  Json params() const override { return {{"unit", unit_.name()}}; }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look["unit"] = unit_.state();
    if (exact) look["unit"] += " " + unit_.property("MainPID");
    return look;
  }
  Json steady(Json outputs) const override {
    outputs.erase("pid");
    outputs.erase("identity");
    return outputs;
  }

 protected:
  const TestUnit unit_;
};

struct Running : Unit {
  Running() { systemctl({"start", unit_.name()}); }
};

// Elsewhere there are none.
const Subjects units = !in_machine() ? Subjects{}
                                     : Subjects{
                                           subject<Unit>("service.start", "a unit", 12),
                                           subject<Running>("service.stop", "a unit", 12),
                                       };

}  // namespace

TEST_CASE("the contract of service.start and service.stop of a unit") {
  run_in_machine(__FILE__);
}

TEST_SUITE_BEGIN("machine");

TEST_CASE("of a real systemd") {
  check_contract("service.start, a unit");
  check_contract("service.stop, a unit");
}

TEST_SUITE_END();
