// What can be wrong with a database that opens: each flaw with the command that mends it. All of it reads
// only.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "runner/sys/sql.h"

namespace relight::postgres {

struct Flaw {
  std::string what, mend;  // mend: a command of SQL, or a sentence
};
using Flaws = std::vector<Flaw>;

// From the catalog alone.
Flaws invalid_indexes(sys::Sql& sql);
// Of collations whose rules this host has in another version than the one an index was built by.
Flaws changed_collations(sys::Sql& sql);
// Extensions in another version than this host installs, or that it has not at all.
Flaws changed_extensions(sys::Sql& sql);
Flaws failed_checksums(sys::Sql& sql);  // that the server has met so far

// Sequences that would give numbers which their columns hold already. `every`: also of columns without an
// index, whose tables are read through.
Flaws sequences_behind(sys::Sql& sql, bool every);

// Tables that have fewer rows than `rows` ({"public.notes": 1204}) tells; not `exact`: that are not there, or
// empty and should not be. More rows are no flaw: the backup may be older than the moment recovered to.
Flaws missing_rows(sys::Sql& sql, const Json& rows, bool exact);

// Every page of tables (TOAST too) and B-tree indexes, by the functions that pg_amcheck calls; each row must
// be in its indexes. The server verifies checksums of what it reads. Where the extension amcheck is not
// installed it is for one transaction, which is taken back.
struct Pages {
  Flaws flaws;
  std::uint64_t tables = 0, indexes = 0;
};
Pages check_pages(sys::Sql& sql,
                  const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace relight::postgres
