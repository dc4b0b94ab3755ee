// What a dump says of its own contents: the list that pg_restore prints, and the members of a tar.
#pragma once
#include <string>
#include <vector>

namespace relight::postgres {

// pg_restore --list: an entry a line, as --use-list takes them.
struct DumpList {
  std::string made_at;              // "2026-11-21 10:00:00 UTC"; empty: not told
  std::vector<std::string> data;    // the entries of tables and large objects with data, in their order
  std::vector<std::string> tables;  // the numbers of those that are of tables: "215"
  std::string of_database;          // the entries of the database itself, each with its newline
};
DumpList parse_dump_list(const std::string& text);

// Throws a refused Error for a dump in a tar that is cut off or damaged.
void check_dump_tar(const std::string& path);

inline constexpr const char* other_copy = "the dump is cut off or damaged: use another copy of it";

}  // namespace relight::postgres
