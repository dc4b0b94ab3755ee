#include <doctest/doctest.h>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A primary that runs all the while, and an empty cluster in whose place its standby goes.
struct Prepared {
  Prepared() {
    work_in_memory();
    folder = std::make_unique<sys::TempFolder>();
    server = std::make_unique<Postgres>(
        PostgresOptions{.fsync = false, .archive = false, .initdb = {}, .settings = {}});
    give_to_postgres(folder->path());
    sys::Command initdb;
    initdb.argv = {Postgres::program("initdb"), "-D", empty(), "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
  }
  std::string empty() const { return folder->path() + "/empty"; }
  std::unique_ptr<sys::TempFolder> folder;
  std::unique_ptr<Postgres> server;
};

const Prepared& prepared() {
  static const Prepared one;
  return one;
}

struct Standby : Fixture {
  Standby() {
    clear();
    sys::make_folders(path("lib/15"));
    sys::copy_tree(prepared().empty(), path("lib/15/main"));
    write("lib/15/main/old", "this is the old one");
    give_to_postgres(world());
    add_neighbours(path("lib/15"));
  }
  ~Standby() override { clear(); }
  std::string as() const override { return "postgres"; }
  Json params() const override {
    return {{"server", prepared().server->conninfo()}, {"data", path("lib/15/main")}, {"slot", "contract"}};
  }
  std::vector<std::string> busy() const override { return {"lib/15"}; }
  // No copy of a primary that runs has the same bytes as the next.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look["slots"] = prepared().server->value(
        "select coalesce(string_agg(slot_name, ' '), '') from "
        "pg_replication_slots where not temporary");
    if (exact || !look.contains("lib/15/main/standby.signal")) return look;
    std::erase_if(look, [](const auto& one) { return one.first.starts_with("lib/15/main"); });
    look["lib/15/main"] = "a standby";
    return look;
  }
  bool digest_is_dear() const override { return true; }

 private:
  static void clear() {
    prepared().server->execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active");
  }
};

const Subjects standby{subject<Standby>("postgres.standby", "in place of an empty cluster", 60)};

}  // namespace

TEST_CASE("the contract of postgres.standby") {
  check_contract("postgres.standby");
}
