// What an unpacking has done so far, in a file of the folder that it fills: a killed one goes on from there.
//
//   relight-unpacked 1 BOOT IDENTITY
//   SHA256 SIZE MTIME_NS PATH          a file that was written whole
//   (zeros) 0 0 PATH                   one that was written over: it occurs twice
//
// It is never synced. In the boot that wrote it, what it says is in the page cache or on the disk; after
// another, each file's bytes are read and hashed before they are believed.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "runner/sys/archive.h"

namespace relight::sys {

class UnpackRecord {
 public:
  // Reads what is there under this identity; another's is thrown away. Throws Error.
  UnpackRecord(std::string folder, const std::string& identity);

  static bool is_of(const std::string& folder, const std::string& identity);
  static void remove(const std::string& folder);  // nothing there: done
  static constexpr const char* name = ".relight-unpacked";

  bool goes_on() const { return goes_on_; }  // there was one
  // The hash of a file that an earlier attempt wrote whole, told once; nothing: it is to be written.
  std::optional<std::string> take(const ArchiveEntry& entry);
  // Adds one. What cannot be recorded is done again after a kill, and fails nothing.
  void add(const ArchiveEntry& entry, const std::string& sha256);
  // The path is about to be written over: nothing that is recorded of it counts. From any thread.
  void replaced(const std::string& path);

 private:
  struct Done {
    std::string sha256;
    std::uint64_t size;
    std::int64_t mtime_ns;
    bool twice;  // a path that occurs twice: which of them lies there, nobody knows
  };
  void read(const std::string& text);
  void write(const std::string& line);

  const std::string folder_;
  bool goes_on_ = false, same_boot_ = true;
  std::map<std::string, Done> done_;
  Fd fd_;
  std::atomic<bool> whole_ = true;  // every line was written
};

}  // namespace relight::sys
