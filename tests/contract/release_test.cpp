#include <doctest/doctest.h>
#include <unistd.h>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"

using namespace relight;

namespace {

struct Releases : Fixture {
  Releases() {
    add_neighbours(path("opt"));
    for (const std::string version : {"1.0.0", "1.1.0"}) release("releases/app-" + version, version);
  }
  Json params() const override {
    return {{"product", "app"}, {"version", "1.1.0"}, {"from", path("releases")}, {"into", path("opt/app")}};
  }
  std::vector<std::string> busy() const override { return {"opt", "opt/app", "opt/app/releases"}; }

 protected:
  void release(const std::string& folder, const std::string& version) const {
    sys::make_folders(path(folder + "/bin"));
    write(folder + "/bin/app", "#!/bin/sh\necho " + version + "\n", 0755);
    write(folder + "/LICENCE", "free");
  }
  void pin(const std::string& version) const {
    release("opt/app/releases/" + version, version);
    sys::remove_file(path("opt/app/current"));
    REQUIRE(symlink(("releases/" + version).c_str(), path("opt/app/current").c_str()) == 0);
  }
};

struct Upgrade : Releases {
  Upgrade() { pin("1.0.0"); }
};

struct Archived : Releases {
  Archived() {
    sys::Command tar;
    tar.argv = {"tar",
                "-C",
                path("releases"),
                "--zstd",
                "--mtime=2016-01-02",
                "-cf",
                path("releases/app-1.1.0.tar.zst"),
                "app-1.1.0"};
    sys::output_of(tar, "cannot prepare a test");
    sys::remove_tree(path("releases/app-1.1.0"));
  }
};

// Both lie there: only the link is moved.
struct BackAgain : Releases {
  BackAgain() {
    pin("1.1.0");
    pin("1.0.0");
  }
};

const Subjects release{
    subject<Releases>("release.pin", "the first release"),
    subject<Upgrade>("release.pin", "in place of another"),
    subject<Archived>("release.pin", "out of an archive"),
    subject<BackAgain>("release.pin", "one that lies there"),
};

}  // namespace

TEST_CASE("the contract of release.pin") {
  check_contract("release.pin");
}
