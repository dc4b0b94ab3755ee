#include "steps/postgres/lib/moment.h"

#include <doctest/doctest.h>

#include "runner/sys/error.h"

using namespace relight;
using namespace relight::postgres;

namespace {

WalRecord xact(Lsn lsn, std::uint32_t xid, const std::string& text, Lsn previous = 0) {
  return {.manager = "Transaction", .xid = xid, .lsn = lsn, .previous = previous, .text = text};
}
WalRecord xlog(Lsn lsn, const std::string& text) {
  return {.manager = "XLOG", .xid = 0, .lsn = lsn, .previous = lsn - 8, .text = text};
}

// Three transactions, the last one aborted, and a named point before it.
bool show(MomentSearch& search) {
  for (const WalRecord& record :
       {xact(0x100, 7, "COMMIT 2026-11-21 10:00:01.000000 UTC", 0xF8), xlog(0x180, "RESTORE_POINT good"),
        xact(0x200, 8, "COMMIT 2026-11-21 10:00:02.500000 UTC; rels: base/5/16385", 0x1F8),
        xact(0x300, 9, "ABORT 2026-11-21 10:00:03.000000 UTC", 0x2F8),
        xact(0x400, 10, "COMMIT_PREPARED 11: 2026-11-21 10:00:04.000000 UTC", 0x3F8)})
    if (search.see(record)) return true;
  return false;
}

}  // namespace

TEST_CASE("lines of pg_waldump") {
  const auto record = parse_record(
      "rmgr: Transaction len (rec/tot):     34/    34, tx:        726, lsn: 0/03001E20, prev 0/03001DD8, "
      "desc: COMMIT "
      "2026-11-21 10:58:01.016759 UTC");
  REQUIRE(record);
  CHECK(record->manager == "Transaction");
  CHECK(record->xid == 726);
  CHECK(record->lsn == 0x3001E20);
  CHECK(record->previous == 0x3001DD8);
  const auto end = transaction_end(*record);
  REQUIRE(end);
  CHECK(end->commit);
  CHECK(sys::show_time(end->time) == "2026-11-21T10:58:01.016759Z");
  CHECK_FALSE(parse_record("first record is after 0/2000000, at 0/2000028, skipping over 40 bytes"));
  CHECK_FALSE(parse_record("rmgr: Transaction"));
  CHECK_FALSE(parse_record(""));
  CHECK_FALSE(transaction_end(xact(1, 2, "ASSIGNMENT xtop 5: subxacts: 6")));
  CHECK_FALSE(transaction_end(xact(1, 2, "PREPARE")));
}

TEST_CASE("what pg_waldump complains of") {
  const struct {
    const char* text;
    std::optional<Lsn> last, at;
    const char* why;
  } table[] = {
      {"pg_waldump: error: error in WAL record at 0/3001F70: invalid record length at 0/3001FE0: wanted 24, "
       "got 0",
       0x3001F70, 0x3001FE0, "invalid record length at 0/3001FE0: wanted 24, got 0"},
      {"pg_waldump: error: error in WAL record at 0/3000028: incorrect resource manager data checksum in "
       "record at 0/3000060",
       0x3000028, 0x3000060, "incorrect resource manager data checksum in record at 0/3000060"},
      {"pg_waldump: error: error in WAL record at 0/4FFFFA0: invalid magic number 0000 in log segment "
       "000000010000000000000005, "
       "offset 8192",
       0x4FFFFA0, 0x5002000,
       "invalid magic number 0000 in log segment 000000010000000000000005, offset 8192"},
      {"pg_waldump: error: could not find a valid record after 0/7000000", std::nullopt, 0x7000000,
       "could not find a valid record after 0/7000000"},
      {"pg_waldump: error: out of memory", std::nullopt, std::nullopt, "out of memory"},
  };
  for (const auto& [text, last, at, why] : table) {
    CAPTURE(text);
    const WalComplaint complaint = parse_complaint(text, default_segment_size);
    CHECK(complaint.last == last);
    CHECK(complaint.at == at);
    CHECK(complaint.why == why);
  }
}

TEST_CASE("where each moment stops") {
  const struct {
    const char* moment;
    bool found;
    Lsn lsn;
    bool inclusive;
    const char* last_commit;
  } table[] = {
      {"latest", false, 0, true, "2026-11-21T10:00:04Z"},
      {"2026-11-21T10:00:02.4Z", true, 0x200, false, "2026-11-21T10:00:01Z"},
      {"2026-11-21T11:00:02.5+01:00", true, 0x300, false,
       "2026-11-21T10:00:02.500000Z"},  // that very commit is in
      {"2026-11-21T10:00:03.5Z", true, 0x400, false, "2026-11-21T10:00:02.500000Z"},
      {"2026-11-21T10:00:09Z", false, 0, true, "2026-11-21T10:00:04Z"},
      {"xid:8", true, 0x200, true, "2026-11-21T10:00:02.500000Z"},
      {"xid:9", true, 0x300, true,
       "2026-11-21T10:00:02.500000Z"},  // the end of a transaction that was aborted
      {"xid:11", true, 0x400, true, "2026-11-21T10:00:04Z"},
      {"xid:10", false, 0, true, "2026-11-21T10:00:04Z"},
      {"name:good", true, 0x180, true, "2026-11-21T10:00:01Z"},
      {"name:goo", false, 0, true, "2026-11-21T10:00:04Z"},
      {"lsn:0/200", false, 0, true, "2026-11-21T10:00:02.500000Z"},
      {"lsn:0/201", false, 0, true,
       "2026-11-21T10:00:02.500000Z"},  // a record begins there that is not shown
  };
  for (const auto& [text, found, lsn, inclusive, last_commit] : table) {
    CAPTURE(text);
    MomentSearch search(parse_moment(text));
    show(search);
    REQUIRE(search.found().has_value() == found);
    if (found) {
      CHECK(search.found()->lsn == lsn);
      CHECK(search.found()->inclusive == inclusive);
    }
    REQUIRE(search.last_commit);
    CHECK(*search.last_commit == sys::parse_time(last_commit));
  }
  for (const char* bad :
       {"", "soon", "lsn:", "lsn:5", "xid:", "xid:x", "xid:5x", "name:", "2026-11-21 10:00:00"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_moment(bad), Error);
  }
}

TEST_CASE("settings that change on the way") {
  MomentSearch search(parse_moment("latest"));
  search.see(xlog(
      0x100,
      "PARAMETER_CHANGE max_connections=200 max_worker_processes=4 max_wal_senders=10 max_prepared_xacts=5 "
      "max_locks_per_xact=64 wal_level=replica wal_log_hints=off track_commit_timestamp=off"));
  CHECK(search.raised.max_connections == 200);
  CHECK(search.raised.max_worker_processes == 8);  // never lower than what was
  CHECK(search.raised.max_prepared_transactions == 5);
  CHECK_FALSE(search.before_minimal);
  search.see(xlog(0x200, "PARAMETER_CHANGE max_connections=100 wal_level=minimal"));
  CHECK(search.before_minimal == 0x200 - 8);
  CHECK(search.raised.max_connections == 200);
}
