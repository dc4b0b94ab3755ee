#include "runner/journal/writer.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "runner/journal/reader.h"
#include "runner/sys/json_whole.h"
#include "tests/support/memory_journal.h"

using namespace relight;
using Texts = std::vector<std::string>;

namespace {

Json note(int number) {
  return {{"kind", "note"}, {"step", "a"}, {"key", "k"}, {"value", number}};
}

}  // namespace

TEST_CASE("a flush writes what waits as one batch, syncs once, then releases in order") {
  MemoryDisk disk;
  JournalWriter writer(disk.open(), {});
  Texts seen;
  writer.add(opened());
  writer.add(note(1), [&] { seen.push_back("first after " + disk.calls.back()); });
  writer.add(note(2), [&] { seen.push_back("second"); });
  CHECK_FALSE(writer.empty());
  CHECK(disk.calls.empty());
  writer.flush();
  CHECK(disk.calls == Texts{"append", "sync"});
  CHECK(seen == Texts{"first after sync", "second"});
  CHECK(writer.empty());
  CHECK(writer.syncs() == 1);
  writer.flush();
  CHECK(disk.calls.size() == 2);

  JournalRead read = read_journal_text(disk.bytes, "memory");
  REQUIRE(read.records.size() == 3);
  CHECK(read.records[2]["of"] == Json({3, 3}));
  CHECK(read.records[2]["batch"] == 1);
}

TEST_CASE("records added while others are released wait for the next batch") {
  MemoryDisk disk;
  JournalWriter writer(disk.open(), {});
  writer.add(opened(), [&] { writer.add(note(1)); });
  writer.flush();
  CHECK_FALSE(writer.empty());
  CHECK(read_journal_text(disk.bytes, "memory").records.size() == 1);
  writer.flush();
  JournalRead read = read_journal_text(disk.bytes, "memory");
  REQUIRE(read.records.size() == 2);
  CHECK(read.records[1]["batch"] == 2);
  CHECK(writer.syncs() == 2);
}

TEST_CASE("a writer goes on where a journal ended") {
  MemoryDisk disk;
  disk.bytes = journal_of({{opened(), note(1)}, {note(2)}});
  JournalWriter writer(disk.open(), read_journal_text(disk.bytes, "memory").end);
  writer.add(note(3));
  writer.flush();
  JournalRead read = read_journal_text(disk.bytes, "memory");
  REQUIRE(read.records.size() == 4);
  CHECK(read.records[3]["seq"] == 4);
  CHECK(read.records[3]["batch"] == 3);
  CHECK(read.end.seq == 4);
}

TEST_CASE("after a failed write or sync the journal is dead") {
  for (bool sync : {false, true}) {
    CAPTURE(sync);
    MemoryDisk disk;
    JournalWriter writer(disk.open(), {});
    bool released = false;
    (sync ? disk.refuse_sync : disk.refuse_append) = true;
    writer.add(opened(), [&] { released = true; });
    const char* text = sync ? "cannot sync: disk: it is broken" : "cannot write: disk: it is full";
    CHECK_THROWS_WITH_AS(writer.flush(), text, Error);
    disk.refuse_sync = disk.refuse_append = false;
    disk.calls.clear();
    CHECK_THROWS_WITH_AS(writer.flush(), text, Error);
    CHECK_THROWS_WITH_AS(writer.add(note(1)), text, Error);
    CHECK_THROWS_WITH_AS(writer.reserve(1), text, Error);
    writer.give_back(1);
    CHECK(disk.calls.empty());
    CHECK_FALSE(released);
    CHECK(writer.syncs() == 0);
  }
}

TEST_CASE("a release that throws takes no other's release away") {
  MemoryDisk disk;
  JournalWriter writer(disk.open(), {});
  bool released = false;
  writer.add(opened(), [] { throw std::runtime_error("first"); });
  writer.add(note(1), [&] { released = true; });
  CHECK_THROWS_WITH(writer.flush(), "first");
  CHECK(released);
  writer.add(note(2));
  writer.flush();
  CHECK(read_journal_text(disk.bytes, "memory").records.size() == 3);
}

TEST_CASE("room is reserved for all steps together, and a refusal takes none") {
  MemoryDisk disk;
  JournalWriter writer(disk.open(), {});
  const std::uint64_t own = 64 << 10;
  writer.reserve(1000);
  writer.reserve(500);
  CHECK(disk.calls ==
        Texts{"reserve " + std::to_string(own + 1000), "reserve " + std::to_string(own + 1500)});
  disk.room = own + 2000;
  CHECK_THROWS_AS(writer.reserve(501), Error);
  writer.reserve(500);
  writer.give_back(1000);
  writer.reserve(1000);
  CHECK(disk.calls.back() == "reserve " + std::to_string(own + 2000));
  writer.add(opened());
  writer.flush();
  CHECK(disk.bytes.size() > 0);
}
