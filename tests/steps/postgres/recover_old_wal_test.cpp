// What the pg_wal of a server that crashed adds to its archive.
#include <doctest/doctest.h>

#include <filesystem>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A primary that crashed: row 1 is archived, row 2 lies in a whole segment that is not, row 3 in the segment
// that was being written, row 4 in no commit. `used_again`: its segments were recycled before, and are full
// of old content.
struct Crashed {
  Source source;
  std::string archive_end;

  explicit Crashed(bool used_again = true) {
    Postgres& server = source.server;
    source.insert(1);
    if (!used_again) {
      server.execute("alter system set wal_recycle = off");
      server.reload();
      for (int i = 0; i < 8; ++i) server.archive_now();  // those that were made ready before
      server.execute("checkpoint");
    } else {
      server.execute("create table filler (i int)");
      for (int i = 0; i < 3; ++i) {
        server.execute("insert into filler select generate_series(1, 20000)");
        server.archive_now();
        server.execute("checkpoint");
      }
    }
    archive_end = server.archive_now();
    server.execute("alter system set archive_command = 'false'");
    server.reload();
    source.insert(2);
    server.execute("select pg_switch_wal()");
    source.insert(3);
    sys::Sql open = server.connect();
    open.execute("begin; insert into t values (4)");
    server.execute("select pg_logical_emit_message(true, 'test', 'something behind it')");
    server.stop(Postgres::Stop::kill);
  }
  // Recovered over the old cluster.
  Json wanted() const {
    return {{"base", source.base},
            {"wal", {source.server.archive_folder()}},
            {"data", source.server.data()},
            {"replace", true}};
  }
};

bool holds(const Json& list, const std::string& part) {
  return list.dump().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("commits that a crashed primary had not archived come back from its own pg_wal") {
  const Crashed crashed;
  const std::string before = sys::tree_digest(crashed.source.server.data() + "/pg_wal");
  Json params = crashed.wanted();

  params["old_wal"] = false;
  const Outcome without = RecoverAttempt(params).preview();
  REQUIRE(without.error == "");
  CHECK(without.value["problems"] == Json::array());
  CHECK_FALSE(holds(without.value["hints"], "from the old server's pg_wal"));

  params["old_wal"] = true;
  params["lost_at"] = "2120-01-01T00:00:00Z";
  const RecoverAttempt attempt(params);
  const Outcome plan = attempt.preview();
  REQUIRE(plan.error == "");
  CAPTURE(plan.value.dump(2));
  REQUIRE(plan.value["problems"] == Json::array());
  CHECK(holds(plan.value["hints"], "2 more segments from the old server's pg_wal, up to lsn:0/"));
  CHECK(holds(plan.value["hints"], "the segment was still being written"));

  // Killed and resumed it finds them still; what is read is only read.
  REQUIRE(attempt.apply("postgres.recover:unpacked").killed);
  REQUIRE(attempt.apply("postgres.recover:reached").killed);
  CHECK(sys::tree_digest(crashed.source.server.data() + "/pg_wal") == before);
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  CHECK(rows_of(crashed.source.server.data()) == "1 2 3");
  REQUIRE(attempt.undo().error == "");
  CHECK(sys::tree_digest(crashed.source.server.data() + "/pg_wal") == before);
}

TEST_CASE("segments that were never used before end in zeros, and are read as well") {
  const Crashed crashed(false);
  const RecoverAttempt attempt(crashed.wanted());
  CHECK(attempt.preview().value["problems"] == Json::array());
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(crashed.source.server.data()) == "1 2 3");
}

TEST_CASE("the pg_wal of another system, or one that is damaged within, is not taken for WAL") {
  const Crashed crashed;
  const std::string old = crashed.source.server.data() + "/pg_wal/";
  // The first segment that only the old server has: damaged where pages of its own follow.
  std::string next;
  for (const std::string& name : sys::names_in(old))
    if (name.size() == 24 && name > crashed.archive_end && next.empty()) next = name;
  std::string bytes = sys::read_file(old + next);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  sys::write_file(old + next, bytes, 0600);
  give_to_postgres(old);
  const Outcome damaged = RecoverAttempt(crashed.wanted()).preview();
  REQUIRE(damaged.value["problems"].size() == 1);
  CHECK(holds(damaged.value["problems"], "a WAL segment is damaged: " + next));

  Source other;  // another system, in the way of the first one's recovery
  other.insert(7);
  other.server.stop();
  Json params = crashed.wanted();
  params["data"] = other.server.data();
  const RecoverAttempt attempt(params);
  const Outcome plan = attempt.preview();
  CHECK(plan.value["problems"] == Json::array());
  CHECK_FALSE(holds(plan.value["hints"], "from the old server's pg_wal"));
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(other.server.data()) == "1");
}
