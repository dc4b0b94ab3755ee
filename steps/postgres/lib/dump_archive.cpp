#include "steps/postgres/lib/dump_archive.h"

#include <algorithm>
#include <map>
#include <optional>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_goes.h"
#include "steps/postgres/lib/dump_program.h"
#include "steps/postgres/lib/statistics.h"

namespace relight::postgres {
namespace {

constexpr std::size_t together =
    1000;  // items of a transaction: each may hold locks, of which a server has few
constexpr const char* filled_note = "filled";

std::string table_name(const std::string& schema, const std::string& name) {
  return sys::quote_identifier(schema) + "." + sys::quote_identifier(name);
}

std::uint64_t rows_of(sys::Sql& sql, const std::string& table) {
  return std::stoull(sql.query("SELECT count(*) FROM ONLY " + table).one());
}

// Of the tables that are no system's: told as a dump's list tells their rows, the name for a query, and
// whether their files hold anything.
constexpr const char* tables_query = R"(
SELECT translate(concat_ws(' ', 'TABLE DATA', nspname, relname, pg_get_userbyid(relowner)), E'\n\r', '  '),
       nspname, relname, pg_relation_size(c.oid) > 0
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname !~ '^pg_')";

// What is built of them, told the same way.
constexpr const char* built_query = R"(
SELECT translate(concat_ws(' ', 'INDEX', nspname, relname, pg_get_userbyid(relowner)), E'\n\r', '  ')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('i', 'I')
UNION ALL
SELECT translate(concat_ws(' ', CASE contype WHEN 'f' THEN 'FK CONSTRAINT' ELSE 'CONSTRAINT' END, nspname,
                           relname, conname, pg_get_userbyid(relowner)), E'\n\r', '  ')
FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE contype IN ('p', 'u', 'x', 'f')
UNION ALL
SELECT 'BLOBS - BLOBS ' WHERE EXISTS (SELECT FROM pg_largeobject))";

// Whatever the last go makes depends on something.
constexpr const char* dependencies_query = R"(
SELECT (SELECT count(*) FROM pg_depend) + (SELECT count(*) FROM pg_shdepend WHERE dbid =
       (SELECT oid FROM pg_database WHERE datname = current_database())))";

class ArchiveLoad {
 public:
  ArchiveLoad(const DumpLoad& load, const DumpLook& look, const DatabaseServer& server, DatabaseSwitch& move,
              Call& call)
      : load_(load),
        look_(look),
        server_(server),
        move_(move),
        call_(call),
        program_(load, look, server, call) {
    sys::Sha256 sum;
    for (const DumpEntry& entry : look.entries)
      if (look.selection.numbers.contains(entry.number)) sum.add(entry.line + "\n");
    identity_ = sum.hex().substr(0, 16) + "-" + std::to_string(look.bytes);
  }

  void load(const std::string& create) {
    const DumpGoes goes = goes_of(look_.entries, look_.selection.numbers, program_.before_the_rows());
    std::string reached = move_.reached();
    if (!reached.starts_with(identity_ + " ")) {
      reached.clear();
      move_.make(create);
      failpoint("postgres.restore:made");
      program_.run(goes.definitions, {});
      failpoint("postgres.restore:defined");
      resumable_ = program_.copies_into_its_tables() && only_known_partitions();
      note_filled();
      reach("defined");
    } else {
      resumable_ = true;
      call_.log("an earlier attempt has come far with this dump: the restore goes on with what it left");
    }
    const std::vector<std::string> words = sys::split(reached, ' ');
    std::size_t from = 0;
    if (words.size() == 4 && words[1] == "rest") {
      from = std::stoul(words[2]);
      if (dependencies() != words[3]) from += together;
    } else {
      load_rows(reached.empty() ? goes.rows_and_indexes : left_of(goes.rows_and_indexes));
      failpoint("postgres.restore:indexed");
    }
    for (; from < goes.rest.size(); from += together) {
      reach("rest " + std::to_string(from) + " " + dependencies());
      failpoint("postgres.restore:rest");
      const auto first = goes.rest.begin() + static_cast<std::ptrdiff_t>(from);
      program_.run({first, first + static_cast<std::ptrdiff_t>(std::min(together, goes.rest.size() - from))},
                   {"--single-transaction"});
    }
  }

 private:
  void load_rows(const std::vector<DumpEntry>& entries) {
    std::map<std::string, std::string> tables;  // by what the list tells of their rows
    for (const auto& row : into().query(tables_query).rows) tables[*row[0]] = table_name(*row[1], *row[2]);
    std::map<std::string, std::string> filled;  // by the number of the item
    for (const DumpEntry& entry : entries)
      if (const auto table = tables.find(entry.told); table != tables.end())
        filled[entry.number] = table->second;
    Statistics statistics(server_, load_.database, call_);
    program_.on_finished([&](const std::string& number) {
      if (const auto table = filled.find(number); table != filled.end()) statistics.filled(table->second);
    });
    program_.run(entries, {"--jobs=" + std::to_string(load_.jobs)});
    program_.on_finished({});
    if (const std::string why = statistics.end(); !why.empty())
      call_.log("statistics are gathered at the end, not while the rows come: " + why);
  }
  void reach(const std::string& how_far) {
    if (resumable_) move_.reach(identity_ + " " + how_far);
  }
  sys::Sql into() const { return server_.connect(call_, load_.database); }
  std::string dependencies() const { return into().query(dependencies_query).one(); }

  // The rows of a table that is parted by hash may have come with another one.
  bool only_known_partitions() const {
    return into().query("SELECT NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partstrat = 'h')").one() ==
           "t";
  }

  // Extensions fill tables of their own: of those, more rows than now tell that the dump's are there.
  void note_filled() {
    Json filled = Json::object();
    sys::Sql sql = into();
    for (const auto& row : sql.query(tables_query).rows) {
      if (*row[3] != "t") continue;
      const std::string table = table_name(*row[1], *row[2]);
      if (const std::uint64_t rows = rows_of(sql, table); rows > 0) filled[table] = rows;
    }
    call_.note(filled_note, filled);
  }

  std::vector<DumpEntry> left_of(const std::vector<DumpEntry>& entries) {
    std::set<std::string> done;
    sys::Sql sql = into();
    const Json filled = call_.notes().value(filled_note, Json::object());
    for (const auto& row : sql.query(tables_query).rows) {
      if (*row[3] != "t") continue;
      const std::string table = table_name(*row[1], *row[2]);
      if (filled.contains(table) ? rows_of(sql, table) > filled[table].get<std::uint64_t>()
                                 : sql.query("SELECT EXISTS (SELECT FROM ONLY " + table + ")").one() == "t")
        done.insert(*row[0]);
      else if (!filled.contains(table))
        sql.execute("TRUNCATE ONLY " + table);  // of what a transaction that was cut off has left in its file
    }
    for (const auto& row : sql.query(built_query).rows) done.insert(*row[0]);
    std::vector<DumpEntry> left;
    for (const DumpEntry& entry : entries)
      if (!done.contains(entry.told))
        left.push_back(entry);
      else
        program_.done_already(entry);
    call_.log(std::to_string(entries.size() - left.size()) + " of " + std::to_string(entries.size()) +
              " tables, indexes and keys are there already");
    return left;
  }

  const DumpLoad& load_;
  const DumpLook& look_;
  const DatabaseServer& server_;
  DatabaseSwitch& move_;
  Call& call_;
  DumpProgram program_;
  std::string identity_;  // of what is loaded: the items taken and the archive's size
  bool resumable_ = false;
};

}  // namespace

void load_archive(const DumpLoad& load, const DumpLook& look, const std::string& create,
                  const DatabaseServer& server, DatabaseSwitch& move, Call& call) {
  ArchiveLoad(load, look, server, move, call).load(create);
}

}  // namespace relight::postgres
