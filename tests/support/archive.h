// Archives for tests, by libarchive's writer, whatever sense their entries make.
#pragma once
#include <archive_entry.h>

#include <string>
#include <vector>

namespace relight {

struct MadeEntry {  // an entry to put into an archive
  std::string path;
  int type = AE_IFREG;
  std::string bytes = {};  // the text of a link
  bool hard = false;
};

// The form is told by the name: .tar, .tar.gz, .tar.zst, .tar.lz4, .tar.xz, .zip.
void make_archive(const std::string& path, const std::vector<MadeEntry>& entries);

// Bytes that no compression makes small; the same in every call.
std::string noise(std::size_t size);

}  // namespace relight
