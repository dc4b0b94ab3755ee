// What a dump says of its contents: as the list that pg_restore prints, and as a tar.
#include "steps/postgres/lib/dump_contents.h"
#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  const postgres::DumpList list = postgres::parse_dump_list(text);
  must(list.tables.size() <= list.data.size(), "a table with data is an entry with data");
  for (const std::string& entry : list.data)
    must(text.find(entry) != std::string::npos && entry.find('\n') == std::string::npos,
         "an entry is a line of the list");
  const MemoryFile file(bytes);
  takes([&] { postgres::check_dump_tar(file.path()); });
}

}  // namespace relight
