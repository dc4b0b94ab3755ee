// What lies behind unpack and copy_checked: takes entries from the calling thread to one that hashes and one
// that writes. Not for other rooms.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runner/sys/archive.h"
#include "runner/sys/unpack_record.h"

namespace relight::sys {

inline constexpr std::size_t kPiece = 256u << 10;  // the unit that is handed on

class Pipeline {
 public:
  // With a record of an earlier attempt the folder is gone on with.
  Pipeline(const std::string& folder, const UnpackOptions& options, UnpackRecord* record);
  ~Pipeline();

  // Gives the next of an entry's bytes, in order; false: its end.
  using Next = std::function<bool(std::uint64_t& at, std::string_view& bytes)>;
  void add(ArchiveEntry entry, const Next& next_stretch);
  Unpacked finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight::sys
