// Writes entries below a folder, by descriptors, following no link. One thread.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runner/sys/archive.h"
#include "runner/sys/write_behind.h"

namespace relight::sys {

class TreeWriter {
 public:
  // `goes_on`: the folder may hold a part of the same tree already. `replaces` is told of a file that is
  // there before it is written over.
  TreeWriter(std::string folder, bool keep_owners, bool goes_on = false,
             std::function<void(const std::string& path)> replaces = nullptr);

  void begin(const ArchiveEntry& entry);  // a file stays open until `end`; all else is made whole
  void write(std::uint64_t at, std::string_view bytes);
  void end();
  // True when the file lies there with its size and time; its owner and mode are set.
  bool has(const ArchiveEntry& entry);
  void finish();  // modes, owners and times of folders, deepest first

 private:
  [[noreturn]] void fail(const std::string& path, int error_number) const;
  int parent_of_entry(const std::string& path, bool make);
  bool open_to_go_on(int parent, const std::string& name);
  void drop_from(std::uint64_t at);
  Fd open_below(const std::string& path, bool make);
  void make_way(int parent, const std::string& name, const std::string& path);
  void settle(int parent, const std::string& name, const ArchiveEntry& entry);

  const std::string folder_;
  const bool keep_owners_, goes_on_;
  const std::function<void(const std::string&)> replaces_;
  Fd root_;
  WriteBehind behind_;
  std::string last_parent_;  // files of one folder come one after another
  Fd last_fd_;
  std::map<std::string, ArchiveEntry> folders_;
  ArchiveEntry file_;
  Fd file_fd_;
  int file_parent_ = -1;
  std::uint64_t written_ = 0;
  std::uint64_t there_ = 0;  // what the file at hand held before: written where it differs
  std::string was_;
};

}  // namespace relight::sys
