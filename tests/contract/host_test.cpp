#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"

using namespace relight;

namespace {

// ---- host.directory

struct NewFolder : Fixture {
  NewFolder() { add_neighbours(path("srv")); }
  Json params() const override {
    return {{"path", path("srv/app/blobs")}, {"mode", "2750"}, {"owner", "1234"}, {"group", "1235"}};
  }
  std::vector<std::string> busy() const override { return {"srv"}; }
};

struct OldFolder : Fixture {
  OldFolder() {
    add_neighbours(path("srv"));
    add_neighbours(path("srv/app"));
    REQUIRE(chmod(path("srv/app").c_str(), 0711) == 0);
  }
  Json params() const override { return {{"path", path("srv/app")}, {"mode", "0700"}, {"owner", "1234"}}; }
};

// ---- host.file

struct NewFile : Fixture {
  NewFile() { add_neighbours(path("etc")); }
  Json params() const override {
    return {{"into", path("etc/a/b/unit")}, {"content", "new\n"}, {"mode", "0640"}};
  }
  std::vector<std::string> busy() const override { return {"etc"}; }
};

struct OldFile : Fixture {
  OldFile() {
    add_neighbours(path("etc"));
    sys::write_file(path("etc/unit"), "old\n", 0604, sys::Owner{1234, 1235});
    write("source", "new\n");
  }
  Json params() const override { return {{"into", path("etc/unit")}, {"from", path("source")}}; }
  std::vector<std::string> busy() const override { return {"etc"}; }
};

// Another name leads to the old file: it is exchanged, not written through.
struct LinkedFile : OldFile {
  LinkedFile() { REQUIRE(link(path("etc/unit").c_str(), path("etc/unit.same").c_str()) == 0); }
};

struct SecretFile : Fixture {
  SecretFile() {
    add_neighbours(path("root"));
    write("secret", marker, 0600);
  }
  Json params() const override {
    return {{"into", path("root/pgpass")}, {"secret", {{"$secret", {{"file", path("secret")}}}}}};
  }
  std::vector<std::string> busy() const override { return {"root"}; }
  std::vector<std::string> secrets() const override { return {marker}; }
  const std::string marker = "hunter2/of:a+marker";
};

const Subjects host{
    subject<NewFolder>("host.directory", "a new folder with a parent"),
    subject<OldFolder>("host.directory", "a folder that is there"),
    subject<NewFile>("host.file", "a new file with its parents"),
    subject<OldFile>("host.file", "in place of an old file"),
    subject<LinkedFile>("host.file", "in place of a file of two names"),
    subject<SecretFile>("host.file", "a secret"),
};

}  // namespace

TEST_CASE("the contract of host.directory") {
  check_contract("host.directory");
}

TEST_CASE("the contract of host.file") {
  check_contract("host.file");
}
