// Reading tar, tar.gz, tar.zst, tar.lz4, tar.xz and zip, by libarchive; nothing an archive holds can be
// written outside its folder.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runner/sys/files.h"

namespace relight::sys {

struct ArchiveEntry {
  std::string path;  // relative, "." and ".." taken out; "" is the folder itself
  char kind;         // 'f' 'd' 'l' (symbolic) 'h' (hard link: `link` is its path in the archive) 'o' other
  std::uint64_t size;
  mode_t mode;
  Owner owner;
  std::int64_t mtime_ns;
  std::string link;
};

// Walks an archive in its order. A broken or truncated one (compressed data is decoded to its very end, and a
// tar must have its end mark) is a permanent Error that names the archive and the entry; an entry that leads
// out of the folder is a refused Error.
class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;

  bool next(ArchiveEntry& entry);
  std::size_t read(char* buffer, std::size_t size);  // of the entry at hand; 0: its end
  std::string read_all(std::uint64_t limit);         // of the entry at hand; larger: a refused Error

  // The next stretch of the entry at hand, good until the next call; false: its end. What lies between two
  // stretches, or between the last and the entry's size, is a hole.
  struct Stretch {
    std::uint64_t at;
    std::string_view bytes;
  };
  bool next_stretch(Stretch& stretch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct UnpackOptions {
  // All of these are called by the calling thread, in the archive's order, and may throw: what they throw is
  // passed on. Called for every entry before it is written; false leaves it out. May change path, link, mode
  // and owner.
  std::function<bool(ArchiveEntry&)> each;
  // Called with a file's bytes in order, holes as zeros: for a hash other than SHA-256.
  std::function<void(const ArchiveEntry&, std::string_view)> block = nullptr;
  // Called with a file's SHA-256 (hex) before the tree is synced.
  std::function<void(const ArchiveEntry&, const std::string& sha256)> hashed;
  std::function<void(std::uint64_t files, std::uint64_t bytes)> progress;
  std::function<bool()> stop;  // true: throws a transient Error, "told to stop"
  bool keep_owners = true;     // as root: the archive's numeric owners, else ours
  // Not empty: what is done is recorded in the folder, and one that holds the record of an unpacking of the
  // same source under the same words is gone on with: its whole files are told with their hash and neither
  // read nor written again, a half one is written where it differs. Not together with `block`.
  std::string resume_as = "";
};

struct Unpacked {
  std::uint64_t files = 0, folders = 0, links = 0, bytes = 0;
};

// Unpacks into a folder that is there and empty, but for `resume_as`. Decoding, hashing and writing run side
// by side, and have ended when this returns or throws. No link is followed below the folder; a path that
// occurs twice ends as its last entry; modes and times of folders are set last; devices, fifos and sockets
// are a refused Error. Set-uid and set-gid bits are kept only with the owner. DURABLE on return (one syncfs).
// After an Error the folder holds a part.
//
// With `resume_as` the record stays in the folder until forget_unpacking().
Unpacked unpack(const std::string& archive, const std::string& folder, const UnpackOptions& options);

// The same for a tree: copied entry by entry with the same callbacks. Holes and hard links stay.
Unpacked copy_checked(const std::string& from, const std::string& folder, const UnpackOptions& options);

// True when `folder` holds what unpack or copy_checked would go on with.
bool unpacking_begun(const std::string& from, const std::string& folder, const UnpackOptions& options);
void forget_unpacking(const std::string& folder);  // DURABLE

bool is_archive(const std::string& path);  // by its name: .tar .tar.gz .tgz .tar.zst .tar.lz4 .tar.xz .zip

// A path of an archive as one below a folder; throws a refused Error, "it leads out of the folder".
std::string path_within(const std::string& archive, const std::string& path);

}  // namespace relight::sys
