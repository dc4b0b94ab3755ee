// Files for another user than our own, made by root.
#pragma once
#include "runner/sys/files.h"

namespace relight::sys {

// What this thread, and those that it starts, make while it lives belongs to that user; what they may do is
// what root may. Programs that they run are root's. Needs root: else a permanent Error.
class MadeFor {
 public:
  explicit MadeFor(const Owner& owner);
  ~MadeFor();
  MadeFor(const MadeFor&) = delete;
};

}  // namespace relight::sys
