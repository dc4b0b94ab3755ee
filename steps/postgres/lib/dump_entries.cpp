#include "steps/postgres/lib/dump_entries.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>

#include "runner/step/schema.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

bool one_of(std::string_view kind, std::initializer_list<std::string_view> kinds) {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "TABLE DATA public notes ember" begins with the words of its kind, the longest that is one.
std::string kind_of(std::string_view told) {
  static constexpr std::array<std::string_view, 31> of_words = {"ACCESS METHOD",
                                                                "ACL LANGUAGE",
                                                                "BLOB COMMENTS",
                                                                "BLOB METADATA",
                                                                "CHECK CONSTRAINT",
                                                                "DATABASE PROPERTIES",
                                                                "DEFAULT ACL",
                                                                "EVENT TRIGGER",
                                                                "FK CONSTRAINT",
                                                                "FOREIGN DATA WRAPPER",
                                                                "FOREIGN TABLE",
                                                                "INDEX ATTACH",
                                                                "MATERIALIZED VIEW",
                                                                "MATERIALIZED VIEW DATA",
                                                                "OPERATOR CLASS",
                                                                "OPERATOR FAMILY",
                                                                "PROCEDURAL LANGUAGE",
                                                                "PUBLICATION TABLE",
                                                                "PUBLICATION TABLES IN SCHEMA",
                                                                "ROW SECURITY",
                                                                "SECURITY LABEL",
                                                                "SEQUENCE OWNED BY",
                                                                "SEQUENCE SET",
                                                                "SHELL TYPE",
                                                                "TABLE ATTACH",
                                                                "TABLE DATA",
                                                                "TEXT SEARCH CONFIGURATION",
                                                                "TEXT SEARCH DICTIONARY",
                                                                "TEXT SEARCH PARSER",
                                                                "TEXT SEARCH TEMPLATE",
                                                                "USER MAPPING"};
  std::string_view best = told.substr(0, told.find(' '));
  for (const std::string_view kind : of_words)
    if (kind.size() > best.size() && told.starts_with(kind) && told.substr(kind.size()).starts_with(" "))
      best = kind;
  return std::string(best);
}

using Entries = std::map<std::string, const DumpEntry*>;

// The large objects belong to no table, so a restore of some tables takes none.
bool of_large_objects(const DumpEntry& entry) {
  return one_of(entry.kind, {"BLOB", "BLOBS", "BLOB METADATA", "BLOB COMMENTS"}) ||
         entry.told.find(" LARGE OBJECT ") != std::string::npos;
}

// Named "TABLE NAME": of that one table, whatever else it needs.
bool named_after_table(const DumpEntry& entry) {
  return one_of(entry.kind,
                {"CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "DEFAULT", "TRIGGER", "RULE", "POLICY"});
}

class Choice {
 public:
  explicit Choice(const std::vector<DumpEntry>& entries) : entries_(entries) {
    for (const DumpEntry& entry : entries) by_number_[entry.number] = &entry;
    // A partition needs its parent, as a table that inherits does; only the partition is of it.
    for (const DumpEntry& entry : entries)
      if (entry.kind == "TABLE ATTACH")
        for (const std::string& child : entry.needs)
          if (const DumpEntry* table = find(child); table != nullptr && table->name == entry.name)
            for (const std::string& parent : entry.needs)
              if (parent != child) partitions_[parent].insert(child);
  }

  // The numbers that a name means.
  std::set<std::string> named(const std::string& name) const {
    std::set<std::string> of_schema, found;
    for (const DumpEntry& entry : entries_) {
      if (entry.schema == name || (entry.kind == "SCHEMA" && entry.name == name))
        of_schema.insert(entry.number);
      if (entry.is_relation() && (entry.qualified() == name || entry.name == name))
        found.insert(entry.number);
    }
    return of_schema.empty() ? found : of_schema;
  }
  std::string near(const std::string& name) const {
    std::vector<std::string> names;
    for (const DumpEntry& entry : entries_) {
      if (entry.kind == "SCHEMA") names.push_back(entry.name);
      if (!entry.is_relation()) continue;
      names.push_back(entry.name);
      names.push_back(entry.qualified());
    }
    return near_name(name, names);
  }

  // A partition that was asked for brings its parent, and not the other partitions.
  void take(const std::string& number, bool with_partitions = true) {
    const DumpEntry* const entry = find(number);
    if (entry == nullptr || !numbers.insert(number).second) return;
    for (const std::string& need : entry->needs) take(need, !partitions_[need].contains(number));
    if (!with_partitions) return;
    for (const std::string& partition : partitions_[number]) take(partition);
  }
  // What belongs to something that is taken comes along, and what that needs, until nothing is added.
  void take_what_belongs() {
    for (std::size_t before = 0; before != numbers.size();) {
      before = numbers.size();
      for (const DumpEntry& entry : entries_)
        if (!numbers.contains(entry.number) && belongs(entry)) take(entry.number);
    }
  }
  void drop(const std::string& number) {
    if (find(number) == nullptr || numbers.erase(number) == 0) return;
    for (const std::string& partition : partitions_[number]) drop(partition);
  }
  void drop_what_needs_it() {
    for (std::size_t before = 0; before != numbers.size();) {
      before = numbers.size();
      for (const DumpEntry& entry : entries_) {
        if (!numbers.contains(entry.number) || all_there(entry.needs)) continue;
        drop(entry.number);
        // A view whose query stands in a rule of its own is nothing without it.
        if (entry.kind == "RULE" && entry.name.ends_with(" _RETURN"))
          for (const std::string& need : entry.needs)
            if (const DumpEntry* view = find(need); view != nullptr && is_of(entry, *view)) drop(need);
      }
    }
  }
  bool all_there(const std::set<std::string>& needs) const {
    return std::all_of(needs.begin(), needs.end(), [&](const std::string& need) {
      return find(need) == nullptr || numbers.contains(need);
    });
  }
  const DumpEntry* find(const std::string& number) const {
    const auto found = by_number_.find(number);
    return found == by_number_.end() ? nullptr : found->second;
  }
  static bool is_of(const DumpEntry& part, const DumpEntry& table) {
    return table.is_relation() && part.schema == table.schema && part.name.starts_with(table.name + " ");
  }

  std::set<std::string> numbers;

 private:
  bool belongs(const DumpEntry& entry) const {
    if (one_of(entry.kind, {"FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"}) && !all_there(entry.needs))
      return false;
    for (const std::string& need : entry.needs) {
      const DumpEntry* const one = find(need);
      if (one == nullptr || !numbers.contains(need)) continue;
      if (one_of(entry.kind, {"ACL", "ACL LANGUAGE", "COMMENT", "SECURITY LABEL"})) return true;
      if (named_after_table(entry)) {
        if (is_of(entry, *one)) return true;
      } else if (one->is_relation() &&
                 one_of(entry.kind,
                        {"TABLE DATA", "MATERIALIZED VIEW DATA", "INDEX", "INDEX ATTACH", "TABLE ATTACH",
                         "SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "STATISTICS", "ROW SECURITY"})) {
        return true;
      }
    }
    return false;
  }

  const std::vector<DumpEntry>& entries_;
  Entries by_number_;
  std::map<std::string, std::set<std::string>> partitions_;
};

}  // namespace

bool DumpEntry::is_data() const {
  return one_of(kind, {"TABLE DATA", "BLOBS", "BLOB DATA", "SEQUENCE SET"});
}

bool DumpEntry::is_relation() const {
  return one_of(kind, {"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"});
}

std::string DumpEntry::qualified() const {
  return schema.empty() ? name : schema + "." + name;
}

std::vector<DumpEntry> parse_dump_entries(const std::string& list) {
  std::vector<DumpEntry> entries;
  constexpr std::string_view depends = ";\tdepends on:";
  bool follows = false;  // a line of what the last entry needs would be its own
  for (const std::string& line : sys::split(list, '\n')) {
    if (follows && line.starts_with(depends))
      for (const std::string& number : sys::split(line.substr(depends.size()), ' '))
        if (is_number(number)) entries.back().needs.insert(number);
    follows = false;
    // "217; 1259 16395 TABLE public notes ember"
    const std::size_t end = line.find("; ");
    if (end == std::string::npos || !is_number(std::string_view(line).substr(0, end))) continue;
    std::size_t at = end + 2;
    for (int words = 0; words < 2 && at != std::string::npos; ++words) {
      at = line.find(' ', at);
      if (at != std::string::npos) ++at;
    }
    if (at == std::string::npos) continue;
    DumpEntry entry;
    entry.number = line.substr(0, end);
    entry.line = line;
    entry.told = line.substr(at);
    entry.kind = kind_of(entry.told);
    if (one_of(entry.kind, {"ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"}) ||
        entry.told.starts_with("ACL - DATABASE ") || entry.told.starts_with("COMMENT - DATABASE ") ||
        entry.told.starts_with("SECURITY LABEL - DATABASE "))
      continue;
    entries.push_back(std::move(entry));
    follows = true;
  }
  return entries;
}

void name_entries(std::vector<DumpEntry>& entries, const std::string& schema) {
  std::map<std::string, DumpEntry*> by_number;
  for (DumpEntry& entry : entries) by_number[entry.number] = &entry;
  constexpr std::string_view head = "-- TOC entry ", name = "-- Name: ";
  DumpEntry* entry = nullptr;
  for (const std::string& line : sys::split(schema, '\n')) {
    if (line.starts_with(head)) {
      const auto found = by_number.find(line.substr(head.size(), line.find(' ', head.size()) - head.size()));
      entry = found == by_number.end() ? nullptr : found->second;
    } else if (entry != nullptr && line.starts_with(name)) {
      const std::size_t kind = line.rfind("; Type: " + entry->kind + "; Schema: ");
      const std::size_t in = kind == std::string::npos ? kind : line.find("; Schema: ", kind) + 10;
      if (in != std::string::npos) {
        entry->name = line.substr(name.size(), kind - name.size());
        entry->schema = line.substr(in, line.rfind("; Owner: ") - in);
        if (entry->schema == "-") entry->schema.clear();
      }
      entry = nullptr;
    } else if (!line.starts_with("--")) {
      entry = nullptr;
    }
  }
}

Selection select_entries(const std::vector<DumpEntry>& entries, const std::vector<std::string>& only,
                         const std::vector<std::string>& exclude) {
  Selection selection;
  Choice choice(entries);
  const auto numbers_of = [&](const std::string& name) {
    std::set<std::string> numbers = choice.named(name);
    const std::string near = numbers.empty() ? choice.near(name) : "";
    if (numbers.empty()) selection.unknown.push_back(name + (near.empty() ? "" : " (" + near + "?)"));
    return numbers;
  };
  if (only.empty())
    for (const DumpEntry& entry : entries) choice.numbers.insert(entry.number);
  for (const std::string& name : only)
    for (const std::string& number : numbers_of(name)) choice.take(number);
  if (!only.empty()) choice.take_what_belongs();

  std::set<std::string> asked;
  for (const std::string& name : exclude) {
    const std::set<std::string> numbers = numbers_of(name);
    asked.insert(numbers.begin(), numbers.end());
  }
  for (const std::string& number : asked) choice.drop(number);
  const std::set<std::string> kept = choice.numbers;
  if (!asked.empty()) choice.drop_what_needs_it();

  bool large_objects = false;
  for (const DumpEntry& entry : entries) {
    if (choice.numbers.contains(entry.number)) continue;
    large_objects = large_objects || (!only.empty() && of_large_objects(entry));
    const bool of_one_kept = std::any_of(entry.needs.begin(), entry.needs.end(), [&](const auto& need) {
      const DumpEntry* const table = choice.find(need);
      return table != nullptr && choice.numbers.contains(need) && Choice::is_of(entry, *table);
    });
    const bool dragged = kept.contains(entry.number) &&
                         (entry.is_relation() ? entry.kind != "SEQUENCE" : entry.kind == "FUNCTION");
    if ((entry.kind == "FK CONSTRAINT" && of_one_kept) || dragged)
      selection.left_out.push_back(entry.kind + " " + entry.qualified());
  }
  if (large_objects) selection.left_out.push_back("the large objects");
  selection.numbers = std::move(choice.numbers);
  return selection;
}

}  // namespace relight::postgres
