// Keeps a disk busy while a tree is written: what has come is synced a stretch at a time by a thread of its
// own, and who writes is held back while more than a stretch waits. So the last sync is short, and whoever is
// killed has left little to sync. One thread's.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace relight::sys {

class WriteBehind {
 public:
  explicit WriteBehind(const std::string& folder);  // its whole file system is synced
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;

  void wrote(std::uint64_t bytes);  // throws what a sync threw
  void finish();                    // the same; waits for what was begun

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight::sys
