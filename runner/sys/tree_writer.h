// Writes entries below a folder, by descriptors, following no link. One thread.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runner/sys/archive.h"

namespace relight::sys {

class TreeWriter {
 public:
  TreeWriter(std::string folder, bool keep_owners);

  void begin(const ArchiveEntry& entry);  // a file stays open until `end`; all else is made whole
  void write(std::uint64_t at, std::string_view bytes);
  void end();
  void finish();  // modes, owners and times of folders, deepest first

 private:
  [[noreturn]] void fail(const std::string& path, int error_number) const;
  int parent_of_entry(const std::string& path);
  Fd open_below(const std::string& path, bool make);
  void make_way(int parent, const std::string& name, const std::string& path);
  void settle(int parent, const std::string& name, const ArchiveEntry& entry);

  const std::string folder_;
  const bool keep_owners_;
  Fd root_;
  std::string last_parent_;  // files of one folder come one after another
  Fd last_fd_;
  std::map<std::string, ArchiveEntry> folders_;
  ArchiveEntry file_;
  Fd file_fd_;
  int file_parent_ = -1;
  std::uint64_t written_ = 0;
};

}  // namespace relight::sys
