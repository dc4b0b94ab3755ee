#include "runner/engine/targets.h"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include "runner/engine/target_marks.h"
#include "runner/sys/error.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

// Between another's lock and its mark, or while the last process of an ended run goes away.
constexpr std::chrono::milliseconds patience{2000};

TargetHolder holder(const std::string& target, const MarkEntry& entry) {
  return {target, entry.run, entry.state_folder, entry.user};
}

std::optional<TargetHolder> other_owner(const MarkSet& marks, const std::string& target,
                                        const std::string& run) {
  for (const Mark& mark : marks.of(target))
    for (const MarkEntry& entry : mark.runs)
      if (entry.owns && entry.run != run) return holder(mark.target.empty() ? target : mark.target, entry);
  return std::nullopt;
}

// Whose lock it may be where nobody owns the target: a run's that has just ended, or is just beginning.
TargetHolder likely_holder(const MarkSet& marks, const std::string& target) {
  MarkEntry likely{"(unknown)", "(unknown)", "(unknown)", false, 0, false};
  for (const Mark& mark : marks.of(target))
    for (const MarkEntry& entry : mark.runs)
      if (entry.owns || entry.changed > likely.changed) likely = entry;
  return holder(target, likely);
}

// Calls `change` with the run's entry in whichever mark it stands, and saves that mark when it says so.
// False: it stands in none.
template <class Change>
bool change_entry(const std::string& folder, const std::string& target, const std::string& run,
                  const Change& change) {
  for (Mark& mark : exact_marks(folder, target))
    for (std::size_t i = 0; i < mark.runs.size(); ++i) {
      MarkEntry& entry = mark.runs[i];
      if (entry.run != run) continue;
      if (!change(entry)) return true;
      if (!entry.owns && entry.changed == 0) mark.runs.erase(mark.runs.begin() + static_cast<long>(i));
      save(mark);
      return true;
    }
  return false;
}

// True: it was not before.
bool mark_owned(const std::string& folder, const std::string& target, const MarkEntry& run) {
  bool newly = true;
  if (change_entry(folder, target, run.run, [&](MarkEntry& entry) {
        newly = !entry.owns;
        entry.owns = true;
        return newly;
      }))
    return newly;
  Mark mark = own_mark(folder, target);
  mark.runs.push_back(run);
  save(mark);
  return true;
}

void release_marks(const std::vector<std::string>& targets, const std::string& run,
                   const std::function<void(MarkEntry&)>& change, const std::string& folder) {
  for (const std::string& target : targets)
    change_entry(folder, target, run, [&](MarkEntry& entry) {
      const MarkEntry before = entry;
      entry.owns = false;
      change(entry);
      return before.owns || before.changed != entry.changed || before.freed != entry.freed;
    });
}

}  // namespace

bool has_folder(const TargetHolder& holder) {
  return ::geteuid() != 0 || sys::exists(holder.state_folder + "/runs/" + holder.run);
}

std::string way_past(const TargetHolder& holder) {
  const std::string relight = "relight --state " + holder.state_folder;
  if (!has_folder(holder))
    return "that run's folder is gone, so it can only be given up: `" + relight + " abandon " + holder.run +
           "`";
  return "go on with that run: `" + relight + " resume " + holder.run + "`; take it back: `" + relight +
         " rollback " + holder.run + "`; or give it up as it is: `" + relight + " abandon " + holder.run +
         "`";
}

Targets::~Targets() {
  if (held_.empty()) return;
  locks_.clear();
  try {
    const sys::FileLock marks = lock_marks(folder_);
    sweep_marks(folder_);
  } catch (const std::exception&) {
    // What stays is swept by a later run.
  }
}

std::optional<TargetHolder> Targets::take(const std::vector<std::string>& targets, const std::string& run,
                                          const std::string& state_folder) {
  std::vector<std::string> wanted;
  for (const std::string& target : targets)
    if (std::find(held_.begin(), held_.end(), target) == held_.end()) wanted.push_back(target);
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted.empty()) return std::nullopt;
  make_marks_folder(folder_);

  std::vector<sys::FileLock> locks;
  for (const std::string& target : wanted) {
    std::optional<sys::FileLock> lock;
    std::optional<TargetHolder> owner;
    sys::wait_until(patience, std::chrono::milliseconds(20), {}, [&] {
      lock = sys::FileLock::try_lock(lock_path(folder_, target));
      if (!lock) owner = other_owner(MarkSet(folder_), target, run);
      return lock || owner;
    });
    if (owner) return owner;
    if (!lock) return likely_holder(MarkSet(folder_), target);
    locks.push_back(std::move(*lock));
  }

  // A path within a path has another lock: two runs that begin at once see each other here.
  const sys::FileLock marks_lock = lock_marks(folder_);
  {
    const MarkSet marks(folder_);
    for (const std::string& target : wanted)
      if (auto owner = other_owner(marks, target, run)) return owner;
  }
  const MarkEntry entry{run, state_folder, sys::current_user().name, true, 0, false};
  std::vector<std::string> marked;
  try {
    for (const std::string& target : wanted)
      if (mark_owned(folder_, target, entry)) marked.push_back(target);
  } catch (const Error&) {
    try {
      release_marks(
          marked, run, [](MarkEntry&) {}, folder_);
    } catch (const Error&) {
      // The first error is the one to tell; a mark that stays names this run, which a resume takes again.
    }
    throw;
  }
  for (sys::FileLock& lock : locks) locks_.push_back(std::move(lock));
  held_.insert(held_.end(), wanted.begin(), wanted.end());
  return std::nullopt;
}

std::optional<TargetHolder> Targets::held(const std::vector<std::string>& targets, const std::string& run,
                                          const std::string& folder) {
  if (targets.empty() || !marks_there(folder)) return std::nullopt;
  const MarkSet marks(folder);
  for (const std::string& target : targets)
    if (auto owner = other_owner(marks, target, run)) return owner;
  return std::nullopt;
}

void Targets::changed(const std::string& run) {
  if (held_.empty()) return;
  const sys::FileLock lock = lock_marks(folder_);
  const MarkSet marks(folder_);
  for (const std::string& target : held_) {
    std::uint64_t last = 0;  // of the others
    for (const Mark& mark : marks.of(target))
      for (const MarkEntry& entry : mark.runs)
        if (entry.run != run) last = std::max(last, entry.changed);
    const bool there = change_entry(folder_, target, run, [&](MarkEntry& entry) {
      if (entry.changed > last) return false;
      entry.changed = last + 1;
      return true;
    });
    if (!there)
      throw Error(ErrorKind::needs_person, "cannot mark a target as changed", target,
                  "its mark is gone from " + folder_, "see who removed it, then `relight resume`");
  }
}

std::optional<TargetHolder> Targets::changed_since(const std::vector<std::string>& targets,
                                                   const std::string& run, const std::string& folder) {
  if (targets.empty() || !marks_there(folder)) return std::nullopt;
  const MarkSet marks(folder);
  for (const std::string& target : targets) {
    std::uint64_t own = 0, last = 0;
    std::optional<TargetHolder> latest;
    for (const Mark& mark : marks.of(target))
      for (const MarkEntry& entry : mark.runs) {
        if (entry.run == run) {
          if (mark.target == target) own = entry.changed;
        } else if (entry.changed > last) {
          last = entry.changed;
          latest = holder(mark.target, entry);
        }
      }
    if (own > 0 && last > own) return latest;
  }
  return std::nullopt;
}

std::vector<TargetHolder> Targets::of(const std::string& run, const std::string& folder) {
  std::vector<TargetHolder> targets;
  if (!marks_there(folder)) return targets;
  for (const Mark& mark : MarkSet(folder).all())
    for (const MarkEntry& entry : mark.runs)
      if (entry.run == run) targets.push_back(holder(mark.target, entry));
  return targets;
}

void Targets::release(const std::vector<std::string>& targets, const std::string& run, bool undone,
                      const std::string& folder) {
  if (targets.empty() || !marks_there(folder)) return;
  const sys::FileLock lock = lock_marks(folder);
  release_marks(
      targets, run,
      [&](MarkEntry& entry) {
        if (undone) entry.changed = 0;
      },
      folder);
}

void Targets::free(const std::string& run, const std::string& folder) {
  std::vector<std::string> targets;
  for (const TargetHolder& one : of(run, folder)) targets.push_back(one.target);
  if (targets.empty()) return;
  const sys::FileLock lock = lock_marks(folder);
  release_marks(
      targets, run, [](MarkEntry& entry) { entry.freed = true; }, folder);
  sweep_marks(folder);
}

}  // namespace relight
