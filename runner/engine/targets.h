// Who owns a target: one run at a time, whatever the state folder and the user.
//
// Marks and locks lie in /var/lib/relight/targets (mode 1777), a pair of files per target named by the
// SHA-256 of its text. A lock is held while a relight process of the run lives. The mark outlives it: it
// names the run that owns the target until that run is done, rolled back or abandoned, and the runs that
// changed it, in order.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight {

struct TargetHolder {
  std::string target, run, state_folder, user;
};

class Targets {
 public:
  // All of them or none, in sorted order (no two runs wait for each other). Marks them as owned by the
  // run. Returns the holder that is in the way. A target of the same run that was marked before is taken
  // again.
  std::optional<TargetHolder> take(const std::vector<std::string>& targets, const std::string& run,
                                   const std::string& state_folder);
  // The same question without taking: for the plan.
  static std::optional<TargetHolder> held(const std::vector<std::string>& targets, const std::string& run);

  void changed(
      const std::string& run);  // the run has begun to change what it holds: recorded in every mark. DURABLE
  // The later run that changed a target of this run since; nothing: none did.
  static std::optional<TargetHolder> changed_since(const std::vector<std::string>& targets,
                                                   const std::string& run);
  // Gives ownership up. `undone`: the run was rolled back, so it no longer counts as one that changed them.
  static void release(const std::vector<std::string>& targets, const std::string& run, bool undone);

 private:
  std::vector<sys::FileLock> locks_;
  std::vector<std::string> held_;
};

}  // namespace relight
