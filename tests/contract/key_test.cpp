#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"

using namespace relight;

namespace {

const std::string master(32, 'm'), salt = "0123456789abcdef";

// The secret lines of an env file, checked against their recorded fingerprint.
struct EnvLines : Fixture {
  EnvLines() {
    add_neighbours(path("etc"));
    write("keys", "MASTER='" + sys::to_base64(master) + "'\n", 0600);
    write("backup.json", Json({{"format", "recovery-set/1"},
                               {"fingerprints",
                                {{"MASTER",
                                  {{"encoding", "base64"},
                                   {"algorithm", "pbkdf2-sha256"},
                                   {"iterations", 1000},
                                   {"salt", sys::to_hex(salt)},
                                   {"hash", sys::to_hex(sys::pbkdf2_sha256(master, salt, 1000, 32))}}}}}})
                             .dump());
  }
  Json params() const override {
    return {{"from", {{"$secret", {{"file", path("keys")}}}}},
            {"into", path("etc/env")},
            {"variables", {"MASTER"}},
            {"fingerprints", path("backup.json")}};
  }
  std::vector<std::string> busy() const override { return {"etc"}; }
  std::vector<std::string> secrets() const override { return {master, sys::to_base64(master)}; }
};

struct OldEnv : EnvLines {
  OldEnv() { sys::write_file(path("etc/env"), "PORT=1\nMASTER=old\n", 0640, sys::Owner{1234, 1235}); }
};

const Subjects key{
    subject<EnvLines>("key.restore", "a new env file"),
    subject<OldEnv>("key.restore", "among the lines of an old env file"),
};

}  // namespace

TEST_CASE("the contract of key.restore") {
  check_contract("key.restore");
}
