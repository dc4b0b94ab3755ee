#include "tests/support/archive.h"

#include <archive.h>
#include <doctest/doctest.h>
#include <sys/sysmacros.h>

namespace relight {

void make_archive(const std::string& path, const std::vector<MadeEntry>& entries) {
  struct archive* writer = archive_write_new();
  if (path.ends_with(".zip")) {
    archive_write_set_format_zip(writer);
  } else {
    archive_write_set_format_pax_restricted(writer);
    if (path.ends_with("gz")) archive_write_add_filter_gzip(writer);
    if (path.ends_with("zst")) archive_write_add_filter_zstd(writer);
    if (path.ends_with("lz4")) archive_write_add_filter_lz4(writer);
    if (path.ends_with("xz")) archive_write_add_filter_xz(writer);
  }
  REQUIRE(archive_write_open_filename(writer, path.c_str()) == ARCHIVE_OK);
  for (const MadeEntry& made : entries) {
    struct archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, made.path.c_str());
    archive_entry_set_filetype(entry, static_cast<unsigned>(made.type));
    archive_entry_set_perm(entry, made.type == AE_IFDIR ? 0750 : 0640);
    archive_entry_set_uid(entry, 3);
    archive_entry_set_gid(entry, 4);
    archive_entry_set_mtime(entry, 1000000000, 0);
    if (made.type == AE_IFCHR) archive_entry_set_rdev(entry, makedev(1, 3));
    if (made.hard) {
      archive_entry_set_hardlink(entry, made.bytes.c_str());
    } else if (made.type == AE_IFLNK) {
      archive_entry_set_symlink(entry, made.bytes.c_str());
    } else {
      archive_entry_set_size(entry, static_cast<la_int64_t>(made.bytes.size()));
    }
    REQUIRE(archive_write_header(writer, entry) == ARCHIVE_OK);
    if (!made.hard && made.type == AE_IFREG && !made.bytes.empty())
      REQUIRE(archive_write_data(writer, made.bytes.data(), made.bytes.size()) ==
              static_cast<la_ssize_t>(made.bytes.size()));
    archive_entry_free(entry);
  }
  REQUIRE(archive_write_close(writer) == ARCHIVE_OK);
  archive_write_free(writer);
}

std::string noise(std::size_t size) {
  std::string bytes;
  unsigned state = 1;
  while (bytes.size() < size) {
    state = state * 1664525 + 1013904223;
    bytes += static_cast<char>(state >> 24);
  }
  return bytes;
}

}  // namespace relight
