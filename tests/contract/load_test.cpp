#include <doctest/doctest.h>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A small dump with a tablespace, and an empty cluster in whose place it goes.
struct Prepared {
  Prepared() {
    work_in_memory();
    folder = std::make_unique<sys::TempFolder>();
    Postgres server;
    sys::make_folders(server.folder() + "/fast");
    give_to_postgres(server.folder() + "/fast");
    server.execute("create database ember");
    server.execute("create tablespace fast location '" + server.folder() + "/fast'");
    server.execute(
        "create table t (i int primary key); insert into t values (1), (2);"
        "create table f (i int) tablespace fast; insert into f values (3)",
        "ember");
    server.run("pg_dump", {"--format=custom", "--file=" + server.folder() + "/dump", "ember"});
    sys::copy_tree(server.folder() + "/dump", dump());
    give_to_postgres(folder->path());
    sys::Command initdb;
    initdb.argv = {Postgres::program("initdb"), "-D", empty(), "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
  }
  std::string dump() const { return folder->path() + "/ember.dump"; }
  std::string empty() const { return folder->path() + "/empty"; }
  std::unique_ptr<sys::TempFolder> folder;
};

const Prepared& prepared() {
  static const Prepared one;
  return one;
}

struct Loaded : Fixture {
  Loaded() {
    sys::make_folders(path("lib/15"));
    sys::make_folders(path("ts/fast"), 0755);
    sys::copy_tree(prepared().empty(), path("lib/15/main"));
    write("lib/15/main/old", "this is the old one");
    give_to_postgres(world());
    add_neighbours(path("lib/15"));
  }
  std::string as() const override { return "postgres"; }
  Json params() const override {
    return {{"dump", prepared().dump()},
            {"database", "ember"},
            {"data", path("lib/15/main")},
            {"jobs", 2},
            {"tablespaces", {{"fast", path("ts/fast")}}}};
  }
  std::vector<std::string> busy() const override { return {"lib/15", "ts/fast"}; }
  // Of two new clusters no file is the same: the digest tells what they hold.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    if (exact || look.contains("lib/15/main/old") || !look.contains("lib/15/main")) return look;
    std::erase_if(look, [](const auto& one) {
      return one.first.starts_with("lib/15/main") || one.first.starts_with("ts/fast/");
    });
    look["lib/15/main"] = "loaded";
    return look;
  }
  bool digest_is_dear() const override { return true; }
  Json steady(Json outputs) const override {
    outputs.erase("bytes");
    outputs.erase("system_identifier");
    return outputs;
  }
};

const Subjects load{subject<Loaded>("postgres.load", "in place of an empty cluster", 120)};

}  // namespace

TEST_CASE("the contract of postgres.load") {
  check_contract("postgres.load");
}
