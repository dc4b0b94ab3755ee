#include "steps/postgres/lib/dump_contents.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

// "215; 1259 16386 TABLE DATA public notes ember": is it an entry of that kind?
bool is_entry(const std::string& line, std::string_view kind) {
  std::size_t at = line.find("; ");
  for (int words = 0; words < 2 && at != std::string::npos; ++words)
    at = line.find(' ', at + (words == 0 ? 2 : 1));
  return at != std::string::npos && std::string_view(line).substr(at + 1).starts_with(kind);
}

bool holds_data(const std::string& line) {
  return is_entry(line, "TABLE DATA ") || is_entry(line, "BLOBS ") || is_entry(line, "BLOB DATA ");
}

bool is_of_database(const std::string& line) {
  for (const char* kind : {"DATABASE - ", "DATABASE PROPERTIES - ", "ACL - DATABASE ", "COMMENT - DATABASE ",
                           "SECURITY LABEL - DATABASE "})
    if (is_entry(line, kind)) return true;
  return false;
}

}  // namespace

DumpList parse_dump_list(const std::string& text) {
  DumpList list;
  constexpr std::string_view made = ";     Archive created at ", made_too = "; Archive created at ";
  for (const std::string& line : sys::split(text, '\n')) {
    if (line.starts_with(made)) list.made_at = line.substr(made.size());
    if (line.starts_with(made_too)) list.made_at = line.substr(made_too.size());
    if (line.starts_with(";")) continue;
    if (holds_data(line)) list.data.push_back(line);
    if (is_entry(line, "TABLE DATA ")) list.tables.push_back(line.substr(0, line.find(';')));
    if (is_of_database(line)) list.of_database += line + "\n";
  }
  return list;
}

// pg_restore reads a tar that is cut off for ever (seen with 15.20), so its members are counted first, by
// their headers: a name of 100 bytes, the size in octal digits at 124; two blocks of zeros end it.
void check_dump_tar(const std::string& path) {
  constexpr std::size_t block = 512, size_at = 124, size_length = 12;
  constexpr std::uint64_t largest = 1ull << 60;  // beyond any disk: a place in the file stays one
  const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw system_error(errno, "cannot read the dump", path);
  std::string last = "its first member";
  for (off_t at = 0;;) {
    char header[block];
    const ssize_t got = pread(file.get(), header, block, at);
    if (got < 0) throw system_error(errno, "cannot read the dump", path);
    if (got < static_cast<ssize_t>(block))
      throw Error(ErrorKind::refused, "cannot read the dump", path, "it ends within " + last, other_copy);
    if (header[0] == '\0') return;
    std::uint64_t size = 0;
    for (std::size_t i = size_at; i < size_at + size_length && header[i] >= '0' && header[i] <= '7'; ++i)
      size = size * 8 + static_cast<std::uint64_t>(header[i] - '0');
    if ((static_cast<unsigned char>(header[size_at]) & 0x80) != 0)  // larger than 8 GiB: big-endian bytes
      for (std::size_t i = size_at + 1; i < size_at + size_length; ++i)
        size = size * 256 + static_cast<unsigned char>(header[i]);
    last = std::string(header, strnlen(header, 100));
    if (size > largest)
      throw Error(ErrorKind::refused, "cannot read the dump", path,
                  "the header of " + last + " cannot be read", other_copy);
    at += static_cast<off_t>(block + (size + block - 1) / block * block);
  }
}

}  // namespace relight::postgres
