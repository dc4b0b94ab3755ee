// What a dump says of its contents: as the list that pg_restore prints, as a tar, and as a custom one.
#include "steps/postgres/lib/dump_contents.h"
#include "steps/postgres/lib/dump_blocks.h"
#include "steps/postgres/lib/dump_goes.h"
#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  const postgres::DumpList list = postgres::parse_dump_list(text);
  must(list.tables.size() <= list.data.size(), "a table with data is an entry with data");
  for (const std::string& entry : list.data)
    must(text.find(entry) != std::string::npos && entry.find('\n') == std::string::npos,
         "an entry is a line of the list");
  std::vector<postgres::DumpEntry> entries = postgres::parse_dump_entries(text);
  postgres::name_entries(entries, text);
  const postgres::Selection all = postgres::select_entries(entries, {}, {});
  const postgres::DumpGoes goes = postgres::goes_of(entries, all.numbers, {"217"});
  must(goes.definitions.size() + goes.rows_and_indexes.size() + goes.rest.size() == entries.size(),
       "every item has its go");
  must(postgres::select_entries(entries, {"public"}, {"notes"}).numbers.size() <= all.numbers.size(),
       "a part is no more than the whole");
  const MemoryFile file(bytes);
  takes([&] { postgres::check_dump_tar(file.path()); });
  takes([&] { postgres::reaches_end_of(file.path(), "3340"); });
}

}  // namespace relight
