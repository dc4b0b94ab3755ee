// The items of a dump, as its table of contents has them, and which of them a restore takes.
#pragma once
#include <set>
#include <string>
#include <vector>

namespace relight::postgres {

struct DumpEntry {
  std::string number;             // its own in the dump: "217"
  std::string line;               // of the list, as --use-list takes it
  std::string told;               // the line from its kind on: "TABLE public notes ember"
  std::string kind;               // "TABLE DATA"
  std::set<std::string> needs;    // numbers of others
  std::string schema, name;       // "public", "notes", of a constraint "notes notes_pkey"; see name_entries
  bool is_data() const;           // rows, large objects, positions of sequences
  bool is_relation() const;       // a table, a view, a sequence
  std::string qualified() const;  // "public.notes"
};

// pg_restore --list --verbose, less what is of the database itself.
std::vector<DumpEntry> parse_dump_entries(const std::string& list);

// Gives them the names that stand in the text of pg_restore --schema-only --verbose: those of the list cannot
// be told apart where they hold spaces.
void name_entries(std::vector<DumpEntry>& entries, const std::string& schema);

struct Selection {
  std::set<std::string> numbers;
  std::vector<std::string> unknown;   // names that the dump does not hold, with a near one: "nots (notes?)"
  std::vector<std::string> left_out;  // what could not come along: "FK CONSTRAINT public.notes notes_fk"
};

// `only` and `exclude` name tables, views ("public.notes", "notes") and schemas ("public"). With a table come
// its partitions, rows, indexes, constraints, triggers, rights, and all that it needs; what needs an excluded
// one is left out with it. Both empty: everything.
Selection select_entries(const std::vector<DumpEntry>& entries, const std::vector<std::string>& only,
                         const std::vector<std::string>& exclude);

}  // namespace relight::postgres
