#include "steps/postgres/lib/statistics.h"

#include <vector>

#include "runner/sys/text.h"

namespace relight::postgres {

namespace {

// Whoever restores may not read pg_statistic itself.
constexpr const char* missing_query = R"(
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (c.relkind = 'p' OR (n.nspname, c.relname) NOT IN (SELECT schemaname, tablename FROM pg_stats)
    OR c.oid IN (SELECT i.indrelid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 JOIN pg_namespace o ON o.oid = x.relnamespace WHERE i.indexprs IS NOT NULL
                 AND (o.nspname, x.relname) NOT IN (SELECT schemaname, tablename FROM pg_stats))
    OR c.oid IN (SELECT stxrelid FROM pg_statistic_ext)))";

}  // namespace

Statistics::Statistics(const DatabaseServer& server, std::string database, const Call& call)
    : server_(server), database_(std::move(database)), call_(call), thread_([this] { run(); }) {}

void Statistics::filled(const std::string& table) {
  const std::lock_guard lock(mutex_);
  tables_.push_back(table);
  changed_.notify_all();
}

std::string Statistics::end() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  return why_;
}

void Statistics::run() {
  std::unique_lock lock(mutex_);
  try {
    const auto wait = [&] {
      changed_.wait(lock, [&] { return over_ || !tables_.empty(); });
      return !over_;
    };
    if (!wait()) return;
    sys::Sql sql = server_.connect(call_, database_);
    while (wait()) {
      const std::string table = tables_.front();
      tables_.pop_front();
      lock.unlock();
      sql.execute("ANALYZE " + table);
      lock.lock();
    }
  } catch (const std::exception& error) {
    if (!lock.owns_lock()) lock.lock();
    why_ = error.what();
  }
}

void gather_missing_statistics(sys::Sql& sql) {
  std::vector<std::string> tables;
  for (const auto& row : sql.query(missing_query).rows) tables.push_back(*row[0]);
  if (!tables.empty()) sql.execute("ANALYZE " + sys::join(tables, ", "));
}

}  // namespace relight::postgres
