// The items of an archive, sorted into the goes in which they are restored (dump_archive.h).
#pragma once
#include <set>
#include <string>
#include <vector>

#include "steps/postgres/lib/dump_entries.h"

namespace relight::postgres {

struct DumpGoes {
  std::vector<DumpEntry> definitions, rows_and_indexes, rest;
};

// `before_the_rows`: the numbers that pg_restore puts into its section pre-data.
DumpGoes goes_of(const std::vector<DumpEntry>& entries, const std::set<std::string>& chosen,
                 const std::set<std::string>& before_the_rows);

}  // namespace relight::postgres
