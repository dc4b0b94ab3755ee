// Archives that are not what they seem, and a copy that must not speak for the one it was made from.
#include <doctest/doctest.h>

#include <filesystem>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"
#include "tests/support/recovery.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

// Three segments with a row each: the names of the last two.
struct Life {
  Source source;
  std::string second, third;
  Life() {
    source.insert(1);
    source.server.archive_now();
    source.insert(2);
    second = source.server.archive_now();
    source.insert(3);
    third = source.server.archive_now();
    source.server.stop();
  }
};

const Life& life() {
  static const Life one;
  return one;
}

// What the plan says of an archive that `spoil` has changed; nothing is recovered from it.
std::string told_of(const std::function<void(const std::string& archive)>& spoil) {
  const sys::TempFolder folder;
  const std::string archive = folder.path() + "/wal";
  std::filesystem::copy(life().source.server.archive_folder(), archive);
  spoil(archive + "/");
  give_to_postgres(folder.path());
  const RecoverAttempt attempt({{"base", life().source.base}, {"wal", {archive}}});
  const Outcome plan = attempt.preview();
  REQUIRE(plan.error == "");
  const Outcome applied = attempt.apply();
  CHECK(applied.error != "");
  CHECK_FALSE(sys::exists(attempt.data()));
  return plan.value["problems"].dump();
}

void holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
}

}  // namespace

TEST_CASE("a segment under another's name, one of zeros, and a byte flipped within a record are told") {
  const std::string damaged = "a WAL segment is damaged: " + life().second + ": ";
  holds(told_of([](const std::string& archive) {
          std::filesystem::copy_file(archive + life().third, archive + life().second,
                                     std::filesystem::copy_options::overwrite_existing);
        }),
        damaged + "it holds the WAL at 0/");
  holds(told_of([](const std::string& archive) {
          sys::write_file(archive + life().second, std::string(1u << 20, '\0'), 0600);
        }),
        damaged + "it does not begin with a WAL page");
  const std::string flipped = told_of([](const std::string& archive) {
    // The text of the logical message that archive_now() writes.
    std::string bytes = sys::read_file(archive + life().second);
    const std::size_t at = bytes.find("so that there is something");
    REQUIRE(at != std::string::npos);
    bytes[at] ^= 0x20;
    sys::write_file(archive + life().second, bytes, 0600);
  });
  holds(flipped, damaged + "incorrect resource manager data checksum in record at 0/");
  holds(flipped, "recovery is possible up to the commit of 20");
}

TEST_CASE("a copy of a subscriber takes nothing from the publisher while the real one is down") {
  work_in_memory();
  Postgres publisher(
      {.fsync = false, .archive = false, .initdb = {}, .settings = {{"wal_level", "logical"}}, .env = {}});
  publisher.execute("create table t (i int); create publication p for table t");
  Source subscriber;
  // Is read of the copy when it is open: a copy that may subscribe is given the time to.
  subscriber.server.execute(
      "create function waits() returns timestamptz language plpgsql as $$ begin "
      "if pg_is_in_recovery() or current_setting('max_logical_replication_workers')::int = 0 then "
      "return null; end if; "
      "for n in 1 .. 600 loop exit when exists (select from t where t.i = 2); perform pg_sleep(0.05); end "
      "loop; "
      "perform pg_sleep(3); return clock_timestamp(); end $$; create view heart as select waits() as at");
  subscriber.server.execute("create subscription s connection '" + publisher.conninfo() + "' publication p");
  publisher.execute("insert into t values (1)");
  const auto arrived = [&](const std::string& rows) {
    return sys::wait_until(60s, 20ms, {}, [&] {
      return subscriber.server.value("select coalesce(string_agg(i::text, ' ' order by i), '') from t") ==
             rows;
    });
  };
  REQUIRE(arrived("1"));
  std::filesystem::remove_all(subscriber.base);
  subscriber.server.base_backup(subscriber.base, {"--format=tar"});
  subscriber.server.archive_now();
  subscriber.server.stop();
  publisher.execute("insert into t values (2)");
  const auto slot = [&] {
    return publisher.value(
        "select string_agg(slot_name || ' ' || confirmed_flush_lsn || ' ' || active, ',') from "
        "pg_replication_slots");
  };
  const std::string before = slot();
  REQUIRE(before.find(" false") != std::string::npos);

  const RecoverAttempt attempt({{"base", subscriber.base},
                                {"wal", {subscriber.server.archive_folder()}},
                                {"heartbeat", "public.heart.at"}});
  REQUIRE(attempt.apply().error == "");
  CHECK(slot() == before);
  publisher.execute("insert into t values (3)");
  subscriber.server.start();
  CHECK(arrived("1 2 3"));
  subscriber.server.execute("alter subscription s disable; alter subscription s set (slot_name = none)");
}
