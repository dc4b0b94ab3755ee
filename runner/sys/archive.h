// Reading tar, tar.gz, tar.zst, tar.lz4, tar.xz and zip, by libarchive; nothing an archive holds can be
// written outside its folder.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "runner/sys/files.h"

namespace relight::sys {

struct ArchiveEntry {
  std::string path;  // relative, "." and ".." taken out; one that leaves the folder is a refused Error
  char kind;         // 'f' 'd' 'l' (symbolic) 'h' (hard link: `link` is its path in the archive) 'o' other
  std::uint64_t size;
  mode_t mode;
  Owner owner;
  std::int64_t mtime_ns;
  std::string link;
};

// Walks an archive in its order. A broken or truncated one is a permanent Error that names the archive and
// the entry.
class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path);
  ~ArchiveReader();
  bool next(ArchiveEntry& entry);
  std::size_t read(char* buffer, std::size_t size);  // of the entry at hand; 0: its end
  std::string read_all(std::uint64_t limit);         // of the entry at hand; larger: a refused Error

 private:
  struct State;
  State* state_;
};

struct UnpackOptions {
  // Called for every entry before it is written; false leaves it out. May change path, link, mode and owner.
  std::function<bool(ArchiveEntry&)> each;
  // Called with every block of a file, in order, from one thread at a time: for a hash other than SHA-256.
  std::function<void(const ArchiveEntry&, std::string_view)> block;
  // Called with a file's SHA-256 (hex) when its last byte is written (after its last `block`), before the
  // tree is synced. Unset: no SHA-256 is made.
  std::function<void(const ArchiveEntry&, const std::string& sha256)> hashed;
  std::function<void(std::uint64_t files, std::uint64_t bytes)> progress;
  std::function<bool()> stop;  // true: throws Stopped's Error (transient, "told to stop")
  bool keep_owners = true;     // as root: the archive's numeric owners, else ours
};

struct Unpacked {
  std::uint64_t files = 0, folders = 0, links = 0, bytes = 0;
};

// Unpacks into a folder that is there and empty. Decoding, hashing and writing run side by side. Files are
// made with openat and O_NOFOLLOW below the folder; modes and times of folders are set last; devices,
// fifos and sockets are a refused Error. DURABLE on return (one syncfs).
Unpacked unpack(const std::string& archive, const std::string& folder, const UnpackOptions& options);

// The same for a tree: copied entry by entry with the same callbacks.
Unpacked copy_checked(const std::string& from, const std::string& folder, const UnpackOptions& options);

bool is_archive(const std::string& path);  // by its name: .tar .tar.gz .tgz .tar.zst .tar.lz4 .tar.xz .zip

}  // namespace relight::sys
