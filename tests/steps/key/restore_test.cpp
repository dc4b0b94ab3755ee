#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("key.restore");
}

constexpr int iterations = 1000;
const std::string salt = "0123456789abcdef";

Json fingerprint_of(const std::string& key, const std::string& encoding) {
  return {{"encoding", encoding},
          {"algorithm", "pbkdf2-sha256"},
          {"iterations", iterations},
          {"salt", sys::to_hex(salt)},
          {"hash", sys::to_hex(sys::pbkdf2_sha256(key, salt, iterations, 32))}};
}

// A host with a backup whose keys are kept apart, in a temporary folder.
struct Host {
  Host() {
    sys::make_folders(folder.path() + "/backup");
    write("keys", "# apart\nMASTER='" + sys::to_base64(master) + "'\nTOKEN=" + sys::to_base64(token) + "\n");
    write("backup/env", "# not secret\nPORT=8080\nMASTER=\nMODE=live\n");
    record({{"MASTER", fingerprint_of(master, "base64")}, {"TOKEN", fingerprint_of(token, "base64")}});
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    sys::write_file(path(name), text, 0600);
  }
  void record(const Json& fingerprints) const {
    write("backup/backup.json", Json({{"format", "recovery-set/1"}, {"fingerprints", fingerprints}}).dump());
  }
  Json variables() const {
    return {{"from", {{"$secret", {{"file", path("keys")}}}}},
            {"into", path("etc/app/env")},
            {"other", path("backup/env")},
            {"variables", {"MASTER", "TOKEN"}},
            {"fingerprints", path("backup/backup.json")},
            {"bytes", 32}};
  }

  Json apply(const Json& json) const {
    TestParams params(type(), json.dump());
    DurableCall call("keys", path("notes"));
    return type().make()->apply(params, call);
  }
  void undo(const Json& json) const {
    TestParams params(type(), json.dump());
    DurableCall call("keys", path("notes"));
    type().make()->undo(params, call, nullptr);
  }
  Preview preview(const Json& json) const {
    TestParams params(type(), json.dump());
    DurableCall call("keys", path("notes"));
    call.preview_only = true;
    return type().make()->preview(params, call);
  }
  std::string digest(const Json& json) const {
    TestParams params(type(), json.dump());
    DurableCall call("keys", path("notes"));
    return type().make()->state_digest(params, call);
  }
  // All that the step wrote but its target.
  std::string told(const Json& outputs) const {
    return outputs.dump() + sys::read_file_if_there(path("notes")).value_or("");
  }

  sys::TempFolder folder;
  const std::string master = std::string(32, 'm'), token = std::string(32, 't');
};

mode_t mode_of_file(const std::string& path) {
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("variables are restored among the lines that are not secret") {
  const Host host;
  const Json json = host.variables();
  const std::string before = host.digest(json);
  const Preview preview = host.preview(json);
  CHECK(preview.problems.empty());
  CHECK(preview.summary ==
        "restore MASTER, TOKEN into " + host.path("etc/app/env") + ", fingerprint as recorded");
  CHECK_FALSE(sys::exists(host.path("etc")));

  const Json outputs = host.apply(json);
  const std::string text = sys::read_file(host.path("etc/app/env"));
  CHECK(text == "# not secret\nPORT=8080\nMASTER='" + sys::to_base64(host.master) +
                    "'\nMODE=live\nTOKEN=" + sys::to_base64(host.token) + "\n");
  CHECK(mode_of_file(host.path("etc/app/env")) == 0600);
  CHECK(outputs["into"] == host.path("etc/app/env"));
  CHECK(outputs["fingerprint"]["MASTER"] == fingerprint_of(host.master, "base64")["hash"]);
  CHECK(host.told(outputs).find(sys::to_base64(host.master)) == std::string::npos);

  const std::string after = host.digest(json);
  host.apply(json);
  CHECK(host.digest(json) == after);
  CHECK(host.preview(json).verdict == Preview::Verdict::nothing_to_do);
  host.undo(json);
  CHECK(host.digest(json) == before);
  CHECK_FALSE(sys::exists(host.path("etc")));
}

TEST_CASE("without other the lines of the file that is there stay, and it comes back") {
  const Host host;
  Json json = host.variables();
  json.erase("other");
  sys::make_folders(host.path("etc/app"));
  host.write("etc/app/env", "A=1\nexport MASTER=lost # here\nB=2");
  const std::string before = sys::tree_digest(host.path("etc"));
  host.apply(json);
  CHECK(sys::read_file(host.path("etc/app/env")) == "A=1\nexport MASTER='" + sys::to_base64(host.master) +
                                                        "' # here\nB=2\nTOKEN=" + sys::to_base64(host.token) +
                                                        "\n");
  host.undo(json);
  CHECK(sys::tree_digest(host.path("etc")) == before);
}

TEST_CASE("a whole key file, by its name or as the only one that was recorded") {
  const Host host;
  host.write("vault", host.master);
  const Json json = {{"from", {{"$secret", {{"file", host.path("vault")}}}}},
                     {"into", host.path("vault.key")},
                     {"fingerprints", host.path("backup/backup.json")},
                     {"bytes", 32}};
  CHECK(host.preview(json).problems.at(0).what == "the key cannot be compared");
  host.record({{"vault.key", fingerprint_of(host.master, "raw")}, {"X", fingerprint_of(host.token, "raw")}});
  CHECK(host.apply(json)["fingerprint"].contains("vault.key"));
  CHECK(sys::read_file(host.path("vault.key")) == host.master);
  host.undo(json);
  host.record({{"SOPHON", fingerprint_of(host.master, "raw")}});
  CHECK(host.apply(json)["fingerprint"].contains("SOPHON"));
}

TEST_CASE("a wrong key is refused by the plan and by the run, and nothing is written") {
  const Host host;
  const Json json = host.variables();
  const std::string wrong(32, 'w');
  host.write("keys", "MASTER=" + sys::to_base64(wrong) + "\nTOKEN=" + sys::to_base64(host.token) + "\n");
  const std::string before = sys::tree_digest(host.folder.path());
  const Preview preview = host.preview(json);
  REQUIRE(preview.problems.size() == 1);
  CHECK(preview.problems[0].what == "the wrong key");
  CHECK(preview.problems[0].on == "MASTER");
  const std::string error = told_error([&] { host.apply(json); });
  CHECK(error ==
        "refused: the wrong key: MASTER: its fingerprint is not the one that the backup recorded in " +
            host.path("backup/backup.json"));
  CHECK(error.find(sys::to_base64(wrong)) == std::string::npos);
  CHECK(sys::tree_digest(host.folder.path()) == before);

  host.write("keys", "MASTER=" + sys::to_base64("short") + "\nTOKEN=x\n");
  CHECK(told_error([&] { host.apply(json); }) ==
        "refused: not the key that was expected: MASTER: it is not 32 bytes, in hex, base64 or raw");
  host.write("keys", "TOKEN=x\n");
  CHECK(told_error([&] { host.apply(json); }) ==
        "refused: the key is missing: MASTER: `from` has no line MASTER=...");
  CHECK_FALSE(sys::exists(host.path("etc")));
}

TEST_CASE("a key without a recorded fingerprint is told; a set that recorded none of them is refused") {
  const Host host;
  const Json json = host.variables();
  host.record({{"MASTER", fingerprint_of(host.master, "base64")}});
  CHECK(host.preview(json).hints ==
        std::vector<std::string>{"no fingerprint of TOKEN is recorded: it is taken as it is"});
  host.record(Json::object());
  CHECK(told_error([&] { host.apply(json); }) ==
        "refused: the key cannot be compared: MASTER, TOKEN: no fingerprint of it is recorded in " +
            host.path("backup/backup.json"));
  sys::remove_file(host.path("backup/backup.json"));
  CHECK(host.preview(json).problems.at(0).on == host.path("backup/backup.json"));
}
