// What the matrix's runbook changes, and what it is told by: a world that can lose its power, and an outside
// that cannot, where every effect of a shell step is told as it happens.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "tests/contract/look.h"

namespace relight {

// A mount namespace of the process's own, in which /var/lib/relight is in memory: nothing that a test mounts
// is left to the host. False, with "not run here: WHY" printed, where there can be none.
bool in_own_mounts();

// What is the same in every case: the recovery set, and the program by which steps tell what they do.
class Outside {
 public:
  Outside();
  const std::string& path() const { return folder_.path(); }
  std::string file(const std::string& name) const { return path() + "/" + name; }

  void forget() const;                         // of an earlier case
  std::map<std::string, int> effects() const;  // of each step: how often
  std::string overlaps() const;                // steps that were at work twice at once

 private:
  sys::TempFolder folder_;
};

// The runbook, of sequential, parallel, retried, skipped, Lua and undoable steps. Inputs: `world`, `outside`.
extern const char* const matrix_book;
// Its step that only a person can judge.
inline constexpr const char* asked_step = "notify";

// The target as it was before the run.
void make_world(const std::string& folder);
Look look_at_world(const std::string& folder);

}  // namespace relight
