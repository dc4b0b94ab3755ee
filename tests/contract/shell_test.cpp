#include <doctest/doctest.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"

using namespace relight;

namespace {

// A program that converges, with a way back, told by what it creates.
struct Creates : Fixture {
  Creates() { add_neighbours(path("srv")); }
  Json params() const override {
    return {{"command", {"sh", "-c", "echo one > part && test -n \"$KEY\" && echo done && mv part made"}},
            {"creates", path("srv/made")},
            {"undo", {"rm", "-f", "made", "part"}},
            {"cwd", path("srv")},
            {"env", {{"KEY", {{"$secret", {{"file", path("secret")}}}}}}}};
  }
  std::vector<std::string> busy() const override { return {"srv"}; }
  std::vector<std::string> secrets() const override { return {marker}; }
  std::string steady_digest(const std::string&) const override { return ""; }
  // What it printed is known only where it ran.
  Json steady(Json outputs) const override {
    outputs.erase("stdout");
    return outputs;
  }

 private:
  const std::string marker = "hunter2/of:a+marker";
  // Before the times are set.
  const bool written_ = (write("secret", marker, 0600), true);
};

struct Checked : Creates {
  Json params() const override {
    Json params = Creates::params();
    params.erase("creates");
    params["check"] = {"test", "-e", path("srv/made")};
    return params;
  }
};

const Subjects shell{
    subject<Creates>("shell.run", "told by what it creates"),
    subject<Checked>("shell.run", "told by a check"),
};

}  // namespace

TEST_CASE("the contract of shell.run") {
  check_contract("shell.run");
}
