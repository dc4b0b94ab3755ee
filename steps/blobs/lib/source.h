// What a backup of blobs holds, whether it is a folder or an archive.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/archive.h"
#include "steps/blobs/lib/manifest.h"

namespace relight::blobs {

struct Source {
  std::string path;      // of the archive or the folder
  std::string inside;    // the folder in it that holds the blobs; empty: the whole
  std::string manifest;  // empty: none

  bool is_folder() const;
  // The path of an entry below the blobs' folder ("" is that folder itself); nothing: it is no part of them.
  std::optional<std::string> below(const std::string& path) const;
};

// What was seen of it.
struct Content {
  Hashes files;                       // hashes are empty where the bytes were not read
  std::uint64_t bytes = 0, room = 0;  // room: in blocks of 4 KiB
  std::uint64_t folders = 0;
  std::vector<std::string> links;    // symbolic
  std::vector<std::string> strange;  // devices, sockets, fifos
  std::optional<sys::ArchiveEntry>
      top;  // the folder of the blobs itself, where the source says its mode and owner

  // False: the entry is no part of the blobs. The path and link become those below `inside`.
  bool add(const Source& source, sys::ArchiveEntry& entry);
  // Hard links get the hash of what they link to; one that links to nothing is a permanent Error.
  void resolve_links(const std::string& on);

 private:
  std::vector<std::pair<std::string, std::string>> hard_links_;
};

// Reads names and sizes, and with `hash` every byte. Throws Error for what cannot be read or is broken; what
// `stop` throws ends it.
Content look(const Source& source, bool hash, const std::function<void(const Content&)>& stop);

}  // namespace relight::blobs
