#include <doctest/doctest.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/debian.h"

using namespace relight;

namespace {

// A package with a dependency, on a Debian that has a policy of its own.
struct TwoPackages : Fixture {
  TwoPackages() {
    sys::write_file(debian_.root() + "/usr/sbin/policy-rc.d", "mine", 0700);
    add_neighbours(debian_.root() + "/usr/sbin");
    debian_.add("oil", "1.5");
    debian_.add("lamp", "1.0", "Depends: oil\n");
    debian_.update();
    make_old(debian_.root());
  }
  Json params() const override { return {{"install", {{"lamp", "*"}}}}; }
  std::string place(const std::string& path) const override { return debian_.root() + path; }

  // dpkg writes its own books anew at every call.
  Look look(bool exact) const override {
    Look look = look_at(debian_.root(), {"usr", "usr/sbin"}, exact);
    if (!exact) std::erase_if(look, [](const auto& one) { return one.first.starts_with("var/"); });
    std::erase_if(look, [](const auto& one) { return one.first == "."; });
    if (!exact) look["packages"] = debian_.there();
    return look;
  }

 private:
  Debian debian_;
};

const Subjects packages{subject<TwoPackages>("host.packages", "one with a dependency", 12)};

}  // namespace

TEST_CASE("the contract of host.packages") {
  check_contract("host.packages");
}
