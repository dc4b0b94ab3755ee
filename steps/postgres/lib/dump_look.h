// What a dump holds and needs, found out by reading it: formats custom, directory and tar by pg_restore,
// plain ones by plain_dump.h.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "steps/postgres/lib/client_program.h"
#include "steps/postgres/lib/dump_entries.h"
#include "steps/postgres/lib/plain_dump.h"

namespace relight::postgres {

enum class DumpFormat { custom, directory, tar, plain };

// By its first bytes. A refused Error for what is none of them (compressed, empty, not there).
DumpFormat dump_format(const std::string& path);
const char* name_of(DumpFormat format);

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

// How much of an archive is read: its table of contents, the last data in it, too, or everything.
enum class DumpDepth { contents, its_end, every_byte };

// Reads the whole of a plain dump, and an archive as deep as told. Throws a refused Error for a dump that is
// cut off or damaged, and a transient one where the program is missing. With `wanted`, `content` and `data`
// are of what is wanted.
DumpLook look_at_dump(const std::string& path, const ClientProgram& pg_restore, DumpDepth depth, Call& call,
                      const Wanted& wanted = {});

// Of a program's stderr: the lines from the first that tells an error.
std::string told_errors(const std::string& err_tail);

}  // namespace relight::postgres
