// postgres.keep whose copy is gone: the way back from its dump.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "runner/sys/json_whole.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/mounted.h"
#include "tests/support/postgres.h"
#include "tests/support/recovery.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& keep() {
  return type_named("postgres.keep");
}

// A database that was kept, written to since, and whose copy was dropped.
struct Dropped {
  explicit Dropped(const std::string& parent = "") : folder(parent) {
    server.execute("create database app");
    server.execute("create table notes as select i, repeat('x', 1000) x from generate_series(1, 2000) i",
                   "app");
    dump = server.folder() + "/app.dump";
    server.run("pg_dump", {"--format=custom", "--file=" + dump, "app"});
    DurableCall call("keep", notes());
    outputs = keep().make()->apply(params(), call);
    server.execute("update notes set x = 'new'", "app");
    server.execute("drop database \"" + outputs.at("copy").get<std::string>() + "\"");
  }
  std::string notes() const { return folder.path() + "/notes"; }
  TestParams params() const {
    return TestParams(keep(),
                      Json{{"database", "app"}, {"server", server.conninfo()}, {"dump", dump}}.dump());
  }
  void undo() const {
    DurableCall call("keep", notes());
    keep().make()->undo(params(), call, &outputs);
  }
  std::string state() const { return server.value("select count(*) || ' ' || min(x) from notes", "app"); }
  std::string others() const {
    return server.value("select count(*) from pg_database where datname like 'relight%'");
  }

  sys::TempFolder folder;
  Postgres server;
  std::string dump;
  Json outputs;
};

}  // namespace

TEST_CASE("a way back from the dump that was killed is gone on with when its sessions have ended") {
  const Dropped host;
  CHECK(killed_at("postgres.restore:indexed", [&] { host.undo(); }));
  const std::string fresh = host.outputs.at("copy");
  // As a backend of the killed pg_restore, which would be waited for.
  sys::Sql left("", {{"host", host.server.socket_folder()},
                     {"port", std::to_string(host.server.port())},
                     {"user", "postgres"},
                     {"dbname", fresh},
                     {"application_name", "relight/20261121-102600-test/keep"}});
  left.execute("set idle_in_transaction_session_timeout = '20s'");
  left.execute("begin; lock table public.notes in access exclusive mode");
  host.undo();
  CHECK_THROWS_WITH_AS(left.query("select 1"), doctest::Contains("administrator command"), Error);
  CHECK(host.state() == "2000 " + std::string(1000, 'x'));
}

TEST_CASE("a way back from the dump that the disk has no room for leaves everything as it was") {
  const sys::TempFolder parent;
  const Mounted disk(parent.path() + "/disk", Mounted::Kind::tmpfs, "160m");
  const std::string before = std::getenv("TMPDIR") == nullptr ? "" : std::getenv("TMPDIR");
  chmod(parent.path().c_str(), 0755);
  chmod(disk.path().c_str(), 01777);
  setenv("TMPDIR", disk.path().c_str(), 1);
  const Dropped host(parent.path());
  before.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before.c_str(), 1);

  const std::string filler = disk.path() + "/filler";
  sys::write_file(filler, std::string(sys::free_bytes(disk.path()) - (4u << 20), 'f'), 0600);
  const Error error = error_of([&] { host.undo(); });
  CHECK(error.kind == ErrorKind::needs_person);
  CHECK(error.failed == "the kept copy is gone, and the backup cannot stand in");
  CHECK(error.why.find("too little disk space: ") == 0);
  CHECK(host.state() == "2000 new");
  CHECK(host.others() == "0");
  sys::remove_file(filler);
  host.undo();
  CHECK(host.state() == "2000 " + std::string(1000, 'x'));
  CHECK(host.others() == "1");  // what was newer
}

TEST_CASE("a dump stands in for a database, and for no cluster") {
  TestCall call;
  const TestParams params(keep(), R"({"data": "/nowhere", "dump": "/backup/app.dump"})");
  const Preview preview = keep().make()->preview(params, call);
  REQUIRE(preview.problems.size() == 1);
  CHECK(preview.problems[0].what == "cannot go back to this backup");
}
