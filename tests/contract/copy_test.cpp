#include <doctest/doctest.h>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// The base backup and the archive of a life with a named point, and an empty cluster.
struct Prepared {
  Prepared() {
    source.insert(1);
    source.server.execute("select pg_create_restore_point('one')");
    source.insert(2);
    source.server.archive_now();
    source.server.stop();
    give_to_postgres(old.path());
    sys::Command initdb;
    initdb.argv = {Postgres::program("initdb"), "-D", empty(), "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
  }
  std::string empty() const { return old.path() + "/data"; }
  Source source;
  sys::TempFolder old;
};

const Prepared& prepared() {
  static const Prepared one;
  return one;
}

// A copy that another run holds at the named point.
struct Held : Fixture {
  Held()
      : brought({{"base", prepared().source.base},
                 {"wal", {prepared().source.server.archive_folder()}},
                 {"to", "name:one"},
                 {"action", "pause"},
                 {"data", copy()}},
                "20261121-102600-before") {
    sys::make_folders(path("lib"));
    give_to_postgres(world());
    const Outcome up = brought.apply();
    REQUIRE(up.error == "");
    add_neighbours(path("lib"));
  }
  std::string as() const override { return "postgres"; }
  std::vector<std::string> busy() const override { return {"lib"}; }
  void put_away() const override { end_copy(copy()); }
  bool digest_is_dear() const override { return true; }

  // Of the copy only whether a server holds it, and which.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    std::erase_if(look, [](const auto& one) { return one.first.starts_with("lib/copy"); });
    if (sys::exists(copy())) look["lib/copy"] = server_of_copy(copy(), exact);
    return look;
  }
  void forget_what_stays(Look& look) const override { look.erase("lib/copy"); }

 protected:
  std::string copy() const { return path("lib/copy"); }

 private:
  RecoverAttempt brought;
};

struct Advanced : Held {
  Json params() const override { return {{"copy", copy()}, {"to", "latest"}}; }
};

struct Promoted : Held {
  Promoted() { sys::copy_tree(prepared().empty(), path("lib/main")); }
  Json params() const override { return {{"copy", copy()}, {"into", path("lib/main")}}; }
  Look look(bool exact) const override {
    Look look = Held::look(exact);
    // Of what the copy became no file is the same twice; the old one is on timeline 1.
    const bool promoted = sys::exists(path("lib/main/pg_wal/00000002.history"));
    if (!exact && promoted) {
      std::erase_if(look, [](const auto& one) { return one.first.starts_with("lib/main"); });
      look["lib/main"] = "promoted";
    }
    return look;
  }
};

const Subjects copies{subject<Advanced>("postgres.advance", "to a later moment", 48),
                      subject<Promoted>("postgres.promote", "in place of an empty cluster", 72)};

}  // namespace

TEST_CASE("the contract of postgres.advance") {
  check_contract("postgres.advance");
}

TEST_CASE("the contract of postgres.promote") {
  check_contract("postgres.promote");
}
