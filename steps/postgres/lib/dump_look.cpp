#include "steps/postgres/lib/dump_look.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_blocks.h"
#include "steps/postgres/lib/dump_contents.h"

namespace relight::postgres {
namespace {

constexpr std::size_t largest_schema = 1u << 30;
constexpr const char* what_failed = "cannot read the dump";

std::string head_of(const std::string& path) {
  const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw system_error(errno, what_failed, path);
  std::string head(512, '\0');
  const ssize_t got = read(file.get(), head.data(), head.size());
  if (got < 0) throw system_error(errno, what_failed, path);
  head.resize(static_cast<std::size_t>(got));
  return head;
}

// `list`: a file that the arguments name, too.
std::string restore_output(const ClientProgram& program, std::vector<std::string> arguments,
                           const std::string& path, Call& call, const std::string& list = "") {
  arguments.push_back(path);
  std::vector<std::string> places = {path};
  if (!list.empty()) places.push_back(list);
  sys::Command command = program.command(std::move(arguments), places);
  command.capture_limit = largest_schema;
  const sys::Result result = call.run_program(std::move(command));
  if (!result.ok()) {
    const std::string why = told_errors(result.err_tail);
    const bool newer = why.find("unsupported version") != std::string::npos;
    throw Error(ErrorKind::refused, what_failed, path, why,
                newer ? "it was made by a newer pg_dump: install the client of that version" : other_copy);
  }
  return result.out;
}

// Of a line of the list.
std::string number_of(const std::string& line) {
  return line.substr(0, line.find(';'));
}

// The files of a directory dump that its table of contents names.
void look_for_files(const std::string& path, const DumpList& list) {
  for (const std::string& number : list.tables) {
    const std::string file = path + "/" + number + ".dat";
    bool there = false;
    for (const char* suffix : {"", ".gz", ".lz4", ".zst"}) there = there || sys::exists(file + suffix);
    if (!there) throw Error(ErrorKind::refused, what_failed, file, "the file is missing", other_copy);
  }
}

// Of an archive's text, the part that makes what is wanted.
std::string schema_of(const ClientProgram& program, const std::string& path, const Wanted& wanted,
                      const std::string& temp, DumpLook& look, Call& call) {
  if (wanted.only.empty() && wanted.exclude.empty()) {
    look.selection = select_entries(look.entries, {}, {});
    return restore_output(program, {"--schema-only", "--file=-"}, path, call);
  }
  name_entries(look.entries, restore_output(program, {"--schema-only", "--verbose", "--file=-"}, path, call));
  look.selection = select_entries(look.entries, wanted.only, wanted.exclude);
  std::string lines;
  for (const DumpEntry& entry : look.entries)
    if (look.selection.numbers.contains(entry.number)) lines += entry.line + "\n";
  sys::write_file(temp, lines, 0600);
  return restore_output(program, {"--schema-only", "--use-list=" + temp, "--file=-"}, path, call, temp);
}

DumpLook look_at_archive(const std::string& path, DumpFormat format, const ClientProgram& program,
                         DumpDepth depth, Call& call, const Wanted& wanted) {
  DumpLook look;
  const sys::TempFolder temp;
  const std::string file = temp.path() + "/list";
  const std::string told = restore_output(program, {"--list", "--create", "--verbose"}, path, call);
  const DumpList list = parse_dump_list(told);
  look.made_at = list.made_at;
  look.entries = parse_dump_entries(told);

  PlainDump schema;
  std::string text = schema_of(program, path, wanted, file, look, call);
  for (const std::string& line : sys::split(text, '\n')) schema.line(line);
  look.content = schema.content();

  look.data = static_cast<std::size_t>(
      std::count_if(look.entries.begin(), look.entries.end(), [&](const DumpEntry& entry) {
        return entry.is_data() && entry.kind != "SEQUENCE SET" &&
               look.selection.numbers.contains(entry.number);
      }));

  if (!list.of_database.empty()) {
    sys::write_file(file, list.of_database, 0600);
    text = restore_output(program, {"--create", "--use-list=" + file, "--file=-"}, path, call, file);
    SqlLexer lexer;
    lexer.on_statement = [&](const SqlTokens& tokens, std::uint64_t) {
      if (std::any_of(tokens.begin(), tokens.end(), [](const SqlToken& t) { return t.is("database"); }))
        look.definition.push_back(tokens);
    };
    lexer.on_meta = [](std::string_view, std::uint64_t) {};
    lexer.on_comment = [](std::string_view) {};
    lexer.on_row = [] {};
    for (const std::string& line : sys::split(text, '\n')) lexer.line(line);
  }

  if (sys::is_folder(path)) look_for_files(path, list);
  if (depth == DumpDepth::every_byte) {
    restore_output(program, {"--file=/dev/null"}, path, call);
  } else if (depth == DumpDepth::its_end && !list.data.empty() && !sys::is_folder(path) &&
             !(format == DumpFormat::custom && reaches_end_of(path, number_of(list.data.back())))) {
    // The data stand in the file in this order: where the last can be read, the file is not cut off.
    sys::write_file(file, list.data.back() + "\n", 0600);
    restore_output(program, {"--use-list=" + file, "--file=/dev/null"}, path, call, file);
  }
  return look;
}

}  // namespace

DumpFormat dump_format(const std::string& path) {
  if (!sys::exists(path))
    throw Error(ErrorKind::refused, what_failed, path, "it is not there", "correct `dump`");
  if (sys::is_folder(path)) {
    if (sys::exists(path + "/toc.dat")) return DumpFormat::directory;
    throw Error(ErrorKind::refused, what_failed, path,
                "the folder holds no toc.dat, so it is no directory dump",
                "name the dump's file or folder itself");
  }
  const std::string head = head_of(path);
  if (head.empty())
    throw Error(ErrorKind::refused, what_failed, path, "it is empty", "use another copy of it");
  if (head.starts_with("PGDMP")) return DumpFormat::custom;
  if (head.size() >= 262 && head.substr(257, 5) == "ustar") return DumpFormat::tar;
  const auto compressed = [&](const char* how, const char* program) {
    return Error(ErrorKind::refused, what_failed, path, std::string("it is compressed by ") + how,
                 std::string("unpack it with `") + program + "`, and name the file that comes out");
  };
  if (head.starts_with("\x1f\x8b")) throw compressed("gzip", "gunzip -k");
  if (head.starts_with("\x28\xb5\x2f\xfd")) throw compressed("zstd", "zstd -d");
  if (head.starts_with("BZh")) throw compressed("bzip2", "bunzip2 -k");
  if (head.starts_with("\xfd\x37zXZ")) throw compressed("xz", "unxz -k");
  return DumpFormat::plain;
}

const char* name_of(DumpFormat format) {
  switch (format) {
    case DumpFormat::custom:
      return "custom";
    case DumpFormat::directory:
      return "directory";
    case DumpFormat::tar:
      return "tar";
    case DumpFormat::plain:
      return "plain";
  }
  return "plain";
}

DumpLook look_at_dump(const std::string& path, const ClientProgram& pg_restore, DumpDepth depth, Call& call,
                      const Wanted& wanted) {
  const DumpFormat format = dump_format(path);
  DumpLook look;
  if (format == DumpFormat::plain) {
    look.content = read_plain_dump(path, {}, [&](std::uint64_t bytes) {
      call.stop_here_if_wanted();
      call.progress("read", bytes, 0);
    });
    look.made_at = look.content.started;
  } else {
    if (format == DumpFormat::tar) check_dump_tar(path);
    look = look_at_archive(path, format, pg_restore, depth, call, wanted);
  }
  look.format = format;
  look.bytes = sys::tree_bytes(path);
  return look;
}

std::string told_errors(const std::string& err_tail) {
  constexpr std::size_t most = 1000;
  std::string text, all;
  for (const std::string& line : sys::split(sys::mend_utf8(err_tail), '\n')) {
    if (sys::trim(line).empty()) continue;
    all = line;
    const bool tells = line.find("error:") != std::string::npos || line.find("ERROR:") != std::string::npos ||
                       line.find("FATAL:") != std::string::npos;
    if (text.empty() && !tells) continue;
    if (text.size() < most) text += (text.empty() ? "" : " / ") + sys::trim(line);
  }
  return text.empty() ? all : text;
}

}  // namespace relight::postgres
