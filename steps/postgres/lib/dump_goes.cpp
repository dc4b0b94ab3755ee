#include "steps/postgres/lib/dump_goes.h"

#include <algorithm>

namespace relight::postgres {
namespace {

bool gives_rights(const DumpEntry& entry) {
  return entry.kind == "ACL" || entry.kind == "ACL LANGUAGE" || entry.kind == "DEFAULT ACL";
}

// What pg_restore keeps for its very end.
bool comes_last(const DumpEntry& entry) {
  return entry.kind == "MATERIALIZED VIEW DATA" || entry.kind == "EVENT TRIGGER" ||
         entry.told.find(" EVENT TRIGGER ") != std::string::npos;
}

bool is_built_of_rows(const DumpEntry& entry) {
  return entry.kind == "INDEX" || entry.kind == "INDEX ATTACH" || entry.kind == "CONSTRAINT" ||
         entry.kind == "FK CONSTRAINT";
}

}  // namespace

DumpGoes goes_of(const std::vector<DumpEntry>& entries, const std::set<std::string>& chosen,
                 const std::set<std::string>& before_the_rows) {
  DumpGoes goes;
  std::set<std::string> late;  // an index that needs one of the rest must wait for it
  for (const DumpEntry& entry : entries) {
    if (!chosen.contains(entry.number)) continue;
    if (before_the_rows.contains(entry.number) && !gives_rights(entry))
      goes.definitions.push_back(entry);
    else if (entry.is_data() || is_built_of_rows(entry))
      goes.rows_and_indexes.push_back(entry);
    else
      late.insert(entry.number);
  }
  const auto waits = [&](const DumpEntry& entry) {
    return std::any_of(entry.needs.begin(), entry.needs.end(),
                       [&](const std::string& need) { return late.contains(need); });
  };
  for (std::size_t before = 0; before != late.size();) {
    before = late.size();
    for (const DumpEntry& entry : goes.rows_and_indexes)
      if (waits(entry)) late.insert(entry.number);
  }
  std::erase_if(goes.rows_and_indexes, [&](const DumpEntry& entry) { return late.contains(entry.number); });
  for (const DumpEntry& entry : entries)
    if (late.contains(entry.number)) goes.rest.push_back(entry);
  std::stable_partition(goes.rest.begin(), goes.rest.end(),
                        [](const DumpEntry& entry) { return !comes_last(entry); });
  const auto last = std::find_if(goes.rest.begin(), goes.rest.end(), comes_last);
  std::stable_partition(goes.rest.begin(), last, [](const DumpEntry& entry) { return !gives_rights(entry); });
  return goes;
}

}  // namespace relight::postgres
