// The steps that make and keep recovery sets.
#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"

using namespace relight;

namespace {

// An addition stays when it is whole: what an undo leaves is no part of the look before.
struct Adding : Fixture {
  virtual std::vector<std::string> added() const = 0;
  void forget_what_stays(Look& look) const override {
    for (const std::string& name : added()) look.erase(name);
  }
  bool digest_is_dear() const override { return true; }
  std::vector<std::string> busy() const override { return {"backup"}; }
  // The same but for what differs from run to run.
  static void blank(Look& look, const std::string& name) {
    const auto found = look.find(name);
    if (found != look.end())
      found->second = found->second.find("user.relight") == std::string::npos ? "there" : "there, marked";
  }
};

struct Archive : Adding {
  explicit Archive(std::string form = "blobs.tar.zst") : form_(std::move(form)) {
    sys::make_folders(path("srv/blobs/3f"));
    sys::make_folders(path("srv/blobs/cache"));
    write("srv/blobs/3f/one", "one");
    write("srv/blobs/vault.key", "a key", 0600);
    write("srv/blobs/cache/rubbish", "rubbish");
    sys::write_file(path("srv/blobs/3f/two"), std::string(300000, 'x'), 0640, sys::Owner{1234, 1235});
    add_neighbours(path("srv/blobs"));
    add_neighbours(path("backup"));
  }
  Json params() const override {
    return {{"from", path("srv/blobs")},
            {"into", path("backup/" + form_)},
            {"must_hold", {"vault.key"}},
            {"leave_out", {"cache"}}};
  }
  std::vector<std::string> added() const override { return {"backup/" + form_, "backup/blobs.sha256"}; }

 private:
  std::string form_;
};

struct Gzip : Archive {
  Gzip() : Archive("blobs.tar.gz") {}
};

struct Zip : Archive {
  Zip() : Archive("blobs.zip") {}
};

std::string sealed(const std::string& time, const std::string& file) {
  return Json({{"format", "recovery-set/1"},
               {"product", "app"},
               {"version", "1.0.0"},
               {"time", time},
               {"files", {{{"path", "file"}, {"size", file.size()}, {"sha256", sys::sha256_hex(file)}}}}})
      .dump();
}

struct Seal : Adding {
  Seal() {
    sys::make_folders(path("backup/releases"));
    write("backup/blobs.tar.zst", "no archive, but a file");
    write("backup/blobs.sha256", "");
    write("backup/releases/app-1.0.0.tar.zst", "a release");
    add_neighbours(path("backup"));
  }
  Json params() const override {
    return {{"set", path("backup")},
            {"product", "app"},
            {"version", "1.0.0"},
            {"blobs", {{"archive", path("backup/blobs.tar.zst")}, {"manifest", "blobs.sha256"}}}};
  }
  std::vector<std::string> added() const override { return {"backup/backup.json"}; }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    if (!exact) blank(look, "backup/backup.json");
    return look;
  }
  std::string steady_digest(const std::string&) const override { return ""; }  // it holds the time
  Json steady(Json outputs) const override {
    outputs.erase("time");
    return outputs;
  }
};

// The same with the passphrase of what the product encrypts itself.
struct SealSecret : Seal {
  SealSecret() { write("passphrase", passphrase + "\n", 0600); }
  Json params() const override {
    Json params = Seal::params();
    params["passphrase"] = {{"$secret", {{"file", path("passphrase")}}}};
    return params;
  }
  std::vector<std::string> secrets() const override { return {passphrase}; }

 protected:
  const std::string passphrase = "hunter2/of:a+marker";
};

struct Verify : Fixture {
  Verify() {
    sys::make_folders(path("backup"));
    write("backup/file", "a file");
    write("backup/backup.json", sealed("2026-11-21T10:26:00Z", "a file"));
  }
  Json params() const override { return {{"set", path("backup")}, {"version", "1.0.0"}}; }
};

struct Prune : Adding {
  Prune() {
    for (const std::string day : {"2026-11-21", "2026-11-20", "2026-11-19", "2026-10-01"}) {
      sys::make_folders(path("backup/" + day));
      write("backup/" + day + "/file", day);
      write("backup/" + day + "/backup.json", sealed(day + "T10:26:00Z", day));
    }
    add_neighbours(path("backup"));
  }
  Json params() const override {
    return {{"folder", path("backup")},
            {"product", "app"},
            {"daily", 2},
            {"weekly", 0},
            {"monthly", 0},
            {"yearly", 0}};
  }
  std::vector<std::string> added() const override { return {}; }
  void forget_what_stays(Look& look) const override {
    for (const std::string day : {"2026-11-19", "2026-10-01"})
      for (const std::string name : {"", "/file", "/backup.json"}) look.erase("backup/" + day + name);
  }
};

struct Escrow : Adding {
  Escrow() {
    add_neighbours(path("backup/set"));
    add_neighbours(path("keys"));
    write("env", "PORT=1\nMASTER='" + key() + "'\n", 0600);
  }
  Json params() const override {
    return {{"key", {{"$secret", {{"file", path("env")}}}}},
            {"variables", {"MASTER"}},
            {"set", path("backup/set")},
            {"into", path("keys/app.env")}};
  }
  std::vector<std::string> busy() const override { return {"backup/set", "keys"}; }
  std::vector<std::string> added() const override { return {"backup/set/fingerprints.json", "keys/app.env"}; }
  std::vector<std::string> secrets() const override { return {key()}; }

 private:
  static std::string key() { return sys::to_base64(std::string(32, 'm')); }
};

const Subjects backup{
    subject<Archive>("blobs.archive", "by zstd"),
    subject<Gzip>("blobs.archive", "by gzip", 4),
    subject<Zip>("blobs.archive", "into a zip", 4),
    subject<Seal>("backup.seal", "a set"),
    subject<SealSecret>("backup.seal", "with a passphrase", 8),
    subject<Verify>("backup.verify", "a set"),
    subject<Prune>("backup.prune", "two of four"),
    subject<Escrow>("key.escrow", "a key of an env file", 8),
};

}  // namespace

TEST_CASE("the contract of blobs.archive") {
  check_contract("blobs.archive");
}

TEST_CASE("the contract of the family backup") {
  check_contract("backup.");
}

TEST_CASE("the contract of key.escrow") {
  check_contract("key.escrow");
}
