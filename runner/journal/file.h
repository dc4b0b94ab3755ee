// The seam under the journal: the few things that it asks of storage, so that a test can lose, tear or
// refuse any of them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace relight {

class JournalFile {
 public:
  virtual ~JournalFile() = default;
  virtual void append(std::string_view bytes) = 0;      // throws Error; then the journal is dead
  virtual void sync() = 0;                              // fdatasync; the same
  virtual void reserve(std::uint64_t bytes_ahead) = 0;  // room past the end, without changing the length;
                                                        // throws when the disk is full
};

// A real file; made 0600 when absent, its folder synced. Room that was reserved and not used is given back at
// the end.
std::unique_ptr<JournalFile> open_journal_file(const std::string& path);

}  // namespace relight
