// Writing tar.gz, tar.zst and zip, by libarchive: what ArchiveReader and unpack read back.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "runner/sys/files.h"

namespace relight::sys {

enum class Packing { tar_gz, tar_zst, zip };

struct PackOptions {
  // Called in the order of the archive, by the calling thread; may throw: what they throw is passed on.
  std::function<bool(const Entry&)> each;  // before an entry is packed; false leaves it out
  std::function<void(const Entry&, const std::string& sha256)> hashed;
  std::function<void(std::uint64_t files, std::uint64_t bytes)> progress;
  std::function<bool()> stop;  // true: throws a transient Error, "told to stop"
};

struct Packed {
  std::uint64_t files = 0, bytes = 0;  // bytes: before they were packed
};

// Packs a folder into a new file, paths relative to it, parents before children, in a tar itself as ".", with
// modes, numeric owners, times and symbolic links; hard links stay links in a tar, and are files of their own
// in a zip. No link is followed. A file that changes while it is read, or that is gone by then, is a
// permanent Error that names it; devices, fifos and sockets are a refused one. The file has the mode 0600
// from its first byte. DURABLE on return, but for the name in its folder; after an Error the file holds a
// part.
Packed pack(const std::string& folder, const std::string& archive, Packing packing,
            const PackOptions& options);

}  // namespace relight::sys
