// The marks of targets as they lie on disk; targets.h says what they mean. Errors are those of Targets.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight {

struct MarkEntry {
  std::string run, state_folder, user;
  bool owns = false;
  std::uint64_t changed = 0;
  bool freed = false;
};

// What one user's runs have to say about one target.
struct Mark {
  std::string target;
  std::string path;
  sys::Owner owner;
  std::vector<MarkEntry> runs;
};

bool marks_there(const std::string& folder);  // false: the folder is not there
void make_marks_folder(const std::string& folder);
std::string lock_path(const std::string& folder, const std::string& target);

// Do the two name the same thing, or is one a path within the other?
bool overlap(const std::string& target, const std::string& other);

// Held by who changes marks, and by who looks and acts on it. Waits for another's; none holds it for long.
sys::FileLock lock_marks(const std::string& folder);

// Every mark, as it is now.
class MarkSet {
 public:
  explicit MarkSet(const std::string& folder);

  // Those of the target and of what overlaps it. A damaged one is a needs_person Error, but for one that does
  // not say whose target it is of and is not this target's own by its name.
  std::vector<Mark> of(const std::string& target) const;
  std::vector<Mark> all() const;  // less those that do not say their target

 private:
  struct Text {
    std::string name, text;
    Mark mark;  // its runs are read when they are asked for
  };
  std::vector<Text> texts_;
};

// The marks of exactly this target.
std::vector<Mark> exact_marks(const std::string& folder, const std::string& target);
Mark own_mark(const std::string& folder, const std::string& target);  // this user's, to be added to
void save(const Mark& mark);                                          // without a run: removes it. DURABLE

// Takes away what no rollback can ask for any more: entries of runs that are over for good (freed, or their
// folder is gone) and that changed the target before no other run's that is not; marks without an entry;
// locks that nobody holds of targets without a mark. Only what this user may take away; the caller holds
// lock_marks.
void sweep_marks(const std::string& folder);

}  // namespace relight
