// The moment reached is the moment asked: random targets of every kind in the life of a busy server whose
// clock goes back once. What each must bring back is worked out from the WAL as the server itself tells it
// (pg_walinspect). RELIGHT_TEST_ALL: 200 targets, else a few, drawn by RELIGHT_SEED.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/recovery.h"
#include "tests/support/share.h"

using namespace relight;

namespace {

constexpr int writers = 8, transactions = 20;
constexpr const char* library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

std::uint64_t position(const std::string& lsn) {
  const std::size_t slash = lsn.find('/');
  return std::stoull(lsn.substr(0, slash), nullptr, 16) << 32 |
         std::stoull(lsn.substr(slash + 1), nullptr, 16);
}

struct Record {
  std::uint64_t lsn = 0;
  std::string text_lsn;
  enum class Kind { other, commit, abort, point } kind = Kind::other;
  std::string xid, name;
  sys::Time time;
};

// Numbered rows of eight writers: some of them in subtransactions that are taken back, some whole
// transactions, too.
void write_rows(const Postgres& server, int writer, const std::atomic<bool>& clock_set) {
  sys::Sql sql = server.connect();
  for (int n = 0; n < transactions; ++n) {
    while (n == transactions / 2 && !clock_set) std::this_thread::yield();
    const int id = writer * 1000 + n;
    const auto insert = [&](int number) {
      return fmt::format("insert into w values ({}, pg_current_xact_id()::text);", number);
    };
    std::string text = "begin;" + insert(id);
    if (n % 3 == 0) text += "savepoint a;" + insert(id + 10000) + "release a;";
    if (n % 4 == 0) text += "savepoint b;" + insert(id + 20000) + "rollback to b;";
    sql.execute(text + (n % 7 == 6 ? "rollback" : "commit"));
  }
}

struct Life {
  sys::TempFolder clock;
  std::string offset = clock.path() + "/offset";
  Postgres server;
  std::vector<Record> records;      // from the end of the base backup on
  std::map<int, std::string> rows;  // of all that were ever committed: the transaction of each
  std::vector<const Record*> ends, points;

  static PostgresOptions options(const std::string& offset) {
    work_in_memory();
    return {.fsync = false,
            .archive = true,
            .initdb = {"--wal-segsize=1"},
            .settings = {{"wal_keep_size", "'512MB'"}, {"timezone", "'UTC'"}, {"autovacuum", "off"}},
            .env = {"LD_PRELOAD=" + std::string(library), "FAKETIME_TIMESTAMP_FILE=" + offset,
                    "FAKETIME_NO_CACHE=1", "FAKETIME_DISABLE_SHM=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}};
  }
  // Replaced at once: the server reads it whenever it asks for the time.
  std::string set_clock(const std::string& by) {
    sys::write_file(clock.path() + "/next", by + "\n", 0644);
    std::filesystem::permissions(clock.path(), std::filesystem::perms(0755));
    std::filesystem::rename(clock.path() + "/next", offset);
    return offset;
  }

  Life() : server(options(set_clock("+0"))) {
    server.execute("create extension pg_walinspect; create table w (i int, x text)");
    const std::string base = server.folder() + "/base";
    server.base_backup(base, {"--format=tar"});
    const std::string start = server.value("select pg_current_wal_lsn()");
    set_clock("+60");
    std::atomic<bool> clock_set{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < writers; ++i) threads.emplace_back([&, i] { write_rows(server, i, clock_set); });
    for (int point = 0; point < 6; ++point) {
      server.execute(fmt::format("select pg_create_restore_point('point {}')", point));
      while (!clock_set && std::stoi(server.value("select count(*) from w")) < 10 * point)
        std::this_thread::yield();
      if (point == 4) {
        set_clock("+59.5");
        clock_set = true;
      }
    }
    for (std::thread& thread : threads) thread.join();
    server.execute("select pg_create_restore_point('point last')");
    read(start);
    server.archive_now();
    server.stop();
  }

  void read(const std::string& start) {
    sys::Sql sql = server.connect();
    for (const auto& row : sql.query("select i, x from w").rows) rows[std::stoi(*row[0])] = *row[1];
    const sys::Rows told = sql.query(
        "select start_lsn, xid, resource_manager, record_type, description"
        " from pg_get_wal_records_info_till_end_of_wal('" +
        start + "') order by 1");
    for (const auto& row : told.rows) {
      Record record;
      record.text_lsn = *row[0];
      record.lsn = position(*row[0]);
      record.xid = *row[1];
      const std::string manager = *row[2], type = *row[3], text = row[4].value_or("");
      if (manager == "Transaction" && (type == "COMMIT" || type == "ABORT")) {
        record.kind = type == "COMMIT" ? Record::Kind::commit : Record::Kind::abort;
        const auto time = sys::parse_time(text.substr(0, text.find("+00")) + "Z");
        REQUIRE_MESSAGE(time, text);
        record.time = *time;
      } else if (manager == "XLOG" && type == "RESTORE_POINT") {
        record.kind = Record::Kind::point;
        record.name = text;
      }
      records.push_back(record);
    }
    for (const Record& record : records) {
      if (record.kind == Record::Kind::commit || record.kind == Record::Kind::abort) ends.push_back(&record);
      if (record.kind == Record::Kind::point) points.push_back(&record);
    }
  }
};

struct Asked {
  std::string to;
  bool inclusive = true;
  std::function<bool(const Record&)> before, after;  // does replay stop before, after this record?
};

Asked draw(const Life& life, std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const auto never = [](const Record&) { return false; };
  const auto ends = [](const Record& record) {
    return record.kind == Record::Kind::commit || record.kind == Record::Kind::abort;
  };
  Asked asked{.to = "", .inclusive = below(2) == 0, .before = never, .after = never};
  const bool inclusive = asked.inclusive;
  const Record& end = *life.ends[below(life.ends.size())];
  switch (below(4)) {
    case 0: {
      const sys::Time time = end.time + std::chrono::microseconds(below(3)) - std::chrono::microseconds(1);
      asked.to = sys::show_time(time);
      asked.before = [=](const Record& record) {
        return ends(record) && (inclusive ? record.time > time : record.time >= time);
      };
      break;
    }
    case 1: {
      const std::uint64_t lsn = life.records[below(life.records.size())].lsn + (below(2) == 0 ? 0 : 1);
      asked.to = fmt::format("lsn:{:X}/{:X}", lsn >> 32, lsn & 0xffffffff);
      (inclusive ? asked.after : asked.before) = [=](const Record& record) { return record.lsn >= lsn; };
      break;
    }
    case 2: {
      asked.to = "xid:" + end.xid;
      (inclusive ? asked.after : asked.before) = [=, xid = end.xid](const Record& record) {
        return ends(record) && record.xid == xid;
      };
      break;
    }
    default: {
      const std::string name = life.points[below(life.points.size())]->name;
      asked.to = "name:" + name;
      asked.inclusive = true;
      asked.after = [=](const Record& record) {
        return record.kind == Record::Kind::point && record.name == name;
      };
    }
  }
  return asked;
}

// The rows that are there when the replay has stopped, as rows_of writes them; nothing: it is never reached.
std::optional<std::string> expected(const Life& life, const Asked& asked) {
  std::set<std::string> committed;
  bool reached = false;
  for (const Record& record : life.records) {
    if (reached = asked.before(record); reached) break;
    if (record.kind == Record::Kind::commit) committed.insert(record.xid);
    if (reached = asked.after(record); reached) break;
  }
  if (!reached) return std::nullopt;
  std::string text;
  for (const auto& [row, xid] : life.rows)
    if (committed.contains(xid)) text += (text.empty() ? "" : " ") + std::to_string(row);
  return text.empty() ? "none" : text;
}

}  // namespace

TEST_CASE("what comes back is what had been committed at the moment, and nothing more") {
  REQUIRE(sys::exists(library));
  const Life life;
  // The clock did go back: or a case that matters would not be there.
  bool went_back = false;
  for (std::size_t i = 1; i < life.ends.size(); ++i)
    went_back = went_back || life.ends[i]->time < life.ends[i - 1]->time - std::chrono::milliseconds(100);
  REQUIRE(went_back);

  const char* given = std::getenv("RELIGHT_SEED");
  const unsigned seed = given == nullptr ? 1 : static_cast<unsigned>(std::strtoul(given, nullptr, 10));
  std::mt19937 random(seed);
  const std::size_t wanted = try_all() ? 200 : std::max<std::size_t>(1, 8 / test_part());
  std::map<std::string, int> tried;
  for (std::size_t done = 0; done < wanted;) {
    const Asked asked = draw(life, random);
    const auto rows = expected(life, asked);
    if (!rows) continue;  // behind the last transaction
    ++done;
    ++tried[asked.to.substr(0, asked.to.find(':')).substr(0, 4)];
    CAPTURE(seed);
    CAPTURE(done);
    CAPTURE(asked.to);
    CAPTURE(asked.inclusive);
    const RecoverAttempt attempt({{"base", life.server.folder() + "/base"},
                                  {"wal", {life.server.archive_folder()}},
                                  {"to", asked.to},
                                  {"inclusive", asked.inclusive}});
    const Outcome outcome = attempt.apply();
    CHECK(outcome.error == "");
    if (outcome.error.empty()) CHECK(rows_of(attempt.data(), "w") == *rows);
  }
  for (const auto& [kind, number] : tried) MESSAGE(kind << ": " << number);
}
