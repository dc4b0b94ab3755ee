// Who owns a target: one run at a time, whatever the state folder and the user.
//
// In /var/lib/relight/targets (mode 1777), named by the SHA-256 of the target's text: a lock, and in a folder
// of each user (by number) that user's mark, so that nobody needs to write another's file. A lock is held
// while a process of the run lives. The mark outlives it: it names the run that owns the target until that
// run is done, rolled back or abandoned, and the runs that changed it, in order. A path that lies within
// another is one target with it. What no rollback can ask for any more is swept away (see target_marks.h).
//
//   0/3f5a....json: {"target":"path:/srv/blobs","runs":[{"run":"...","state_folder":"...","user":"root",
//                    "owns":true,"changed":3}]}      changed: 1, 2, ... over all users' marks; 0: not yet
//                                                    freed: true where the run can be rolled back no more
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight {

inline const std::string targets_folder = "/var/lib/relight/targets";  // a test has its own

struct TargetHolder {
  std::string target, run, state_folder, user;
};

// What to do about a holder that is in the way.
std::string way_past(const TargetHolder& holder);

// False: its state folder was removed, as far as this user can see.
bool has_folder(const TargetHolder& holder);

// Everything here throws a refused Error where the folder cannot be made or is not open to this user, and a
// needs_person one for a mark that cannot be read.
class Targets {
 public:
  explicit Targets(std::string folder = targets_folder) : folder_(std::move(folder)) {}
  ~Targets();  // gives the locks back, and sweeps
  Targets(const Targets&) = delete;

  // All of them or none, in sorted order (no two runs wait for each other), besides those taken before. Marks
  // them as owned by the run. Returns the holder that is in the way. A target of the same run that was marked
  // before is taken again. DURABLE
  std::optional<TargetHolder> take(const std::vector<std::string>& targets, const std::string& run,
                                   const std::string& state_folder);
  // The same question without taking: for the plan. Changes nothing, not even for a moment.
  static std::optional<TargetHolder> held(const std::vector<std::string>& targets, const std::string& run,
                                          const std::string& folder = targets_folder);

  // The run has begun to change what it holds: recorded in every mark, once. DURABLE
  void changed(const std::string& run);
  // The latest run that changed a target of this run since; nothing: none did.
  static std::optional<TargetHolder> changed_since(const std::vector<std::string>& targets,
                                                   const std::string& run,
                                                   const std::string& folder = targets_folder);
  // Every target that the run owns or has changed, whatever its plan says now.
  static std::vector<TargetHolder> of(const std::string& run, const std::string& folder = targets_folder);
  // Gives ownership up; the locks stay with this object. `undone`: the run was rolled back, so it no longer
  // counts as one that changed them. DURABLE
  static void release(const std::vector<std::string>& targets, const std::string& run, bool undone,
                      const std::string& folder = targets_folder);
  // The run is over and can be rolled back no more: gives all up, and sweeps. DURABLE
  static void free(const std::string& run, const std::string& folder = targets_folder);

 private:
  std::string folder_;
  std::vector<sys::FileLock> locks_;
  std::vector<std::string> held_;  // the targets of locks_
};

}  // namespace relight
