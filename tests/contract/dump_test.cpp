// Backups of a database: no two are the same bytes.
#include <doctest/doctest.h>

#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/postgres.h"

using namespace relight;

namespace {

const Postgres& server() {
  struct Prepared {
    Prepared() {
      server.execute("create database ember");
      server.execute("create table notes as select i, 'note ' || i as body from generate_series(1, 200) i",
                     "ember");
    }
    Postgres server;
  };
  static const Prepared one;
  return one.server;
}

struct Backup : Fixture {
  explicit Backup(std::string name) : name_(std::move(name)) {
    server();  // one for all, made by no child
    add_neighbours(path("backup"));
  }
  std::vector<std::string> busy() const override { return {"backup"}; }
  bool digest_is_dear() const override { return true; }
  std::string steady_digest(const std::string&) const override { return ""; }
  void forget_what_stays(Look& look) const override { look.erase("backup/" + name_); }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    if (exact) return look;
    Look steady;
    for (const auto& [path, text] : look) {
      const std::string backup = "backup/" + name_;
      if (path == backup)
        steady[path] = text.find("user.relight") == std::string::npos ? "there" : "there, marked";
      else if (!path.starts_with(backup + "/"))
        steady[path] = text;
    }
    return steady;
  }
  Json steady(Json outputs) const override {
    for (const char* name : {"lsn", "taken_at", "bytes", "start_lsn", "end_lsn"}) outputs.erase(name);
    return outputs;
  }

 protected:
  const std::string name_;
};

struct Dump : Backup {
  Dump() : Backup("ember.dump") {}
  Json params() const override {
    return {{"database", "ember"}, {"server", server().conninfo()}, {"into", path("backup/" + name_)}};
  }
};

struct FolderDump : Backup {
  FolderDump() : Backup("ember") {}
  Json params() const override {
    return {{"database", "ember"},
            {"server", server().conninfo()},
            {"into", path("backup/" + name_)},
            {"format", "directory"},
            {"jobs", 2}};
  }
};

struct Base : Backup {
  Base() : Backup("base") {}
  Json params() const override {
    return {{"server", server().conninfo()}, {"into", path("backup/" + name_)}};
  }
};

const Subjects dumps{
    subject<Dump>("postgres.dump", "one file", 4),
    subject<FolderDump>("postgres.dump", "a folder", 6),
    subject<Base>("postgres.base_backup", "tars", 6),
};

}  // namespace

TEST_CASE("the contract of postgres.dump") {
  check_contract("postgres.dump");
}

TEST_CASE("the contract of postgres.base_backup") {
  check_contract("postgres.base_backup");
}
