// What a dump holds and needs, found out by reading it: formats custom, directory and tar by pg_restore,
// plain ones by plain_dump.h.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "steps/postgres/lib/dump_entries.h"
#include "steps/postgres/lib/plain_dump.h"

namespace relight::postgres {

enum class DumpFormat { custom, directory, tar, plain };

// By its first bytes. A refused Error for what is none of them (compressed, empty, not there).
DumpFormat dump_format(const std::string& path);
const char* name_of(DumpFormat format);

// The program of the client that fits best: of the server's major version, else of the next newer one, else
// of the newest. 0: no version is known. Empty: there is none.
std::string dump_program(const std::string& name, int server_major);

struct DumpLook {
  DumpFormat format = DumpFormat::custom;
  std::uint64_t bytes = 0;            // on disk
  PlainContent content;               // of an archive: of its schema
  std::string made_at;                // when it was begun: "2026-11-21 10:00:00 UTC"; empty: not told
  std::vector<SqlTokens> definition;  // what it says of its database itself
  std::size_t data = 0;               // tables and large objects with data
  std::vector<DumpEntry> entries;     // of an archive
  Selection selection;                // of them
};

// The tables and schemas that are wanted of an archive; see select_entries.
struct Wanted {
  std::vector<std::string> only, exclude;
};

// Reads the whole of a plain dump; of an archive its table of contents and the last data in it, with `full`
// every byte. Throws a refused Error for a dump that is cut off or damaged, and a transient one where the
// program is missing. With `wanted`, `content` and `data` are of what is wanted.
DumpLook look_at_dump(const std::string& path, const std::string& pg_restore, bool full, Call& call,
                      const Wanted& wanted = {});

// Of a program's stderr: the lines from the first that tells an error.
std::string told_errors(const std::string& err_tail);

}  // namespace relight::postgres
