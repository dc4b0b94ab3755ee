#include <doctest/doctest.h>

#include <algorithm>

#include "runner/sys/process.h"
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

 protected:
  Debian debian_;
};

// One that is there is moved to a later version, which another needs as well, and was held; the other is new.
struct HeldPackage : TwoPackages {
  HeldPackage() {
    debian_.add("oil", "2.0");
    debian_.update();
    debian_.install("oil=1.5");
    sys::Command hold;
    hold.argv = {"apt-mark", "hold", "oil"};
    sys::output_of(hold, "test setup");
    make_old(debian_.root());
  }
  Json params() const override { return {{"packages", {{"oil", "2.0"}, {"lamp", "1.0"}}}}; }
  Look look(bool exact) const override {
    Look look = TwoPackages::look(exact);
    // A package that was put back is made anew, and the guard of PostgreSQL's clusters came and went.
    if (!exact)
      for (auto& [path, text] : look)
        if (path == "etc" || path.starts_with("usr/share"))
          text.erase(std::min({text.size(), text.rfind(" new"), text.rfind(" at ")}));
    sys::Command held;
    held.argv = {"apt-mark", "showhold"};
    if (!exact) look["held"] = sys::output_of(held, "cannot list what is held");
    return look;
  }
};

const Subjects packages{subject<TwoPackages>("host.packages", "one with a dependency", 24),
                        subject<HeldPackage>("package.pin", "one held, one new", 24)};

}  // namespace

TEST_CASE("the contract of host.packages") {
  check_contract("host.packages");
}

TEST_CASE("the contract of package.pin") {
  check_contract("package.pin");
}
