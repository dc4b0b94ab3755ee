#include "runner/step/switch.h"

#include <sys/stat.h>
#include <unistd.h>

#include "runner/step/switch_way.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

constexpr const char* what_failed = "cannot switch to the new data";

bool by_entries_only(const std::string& target) {
  return sys::is_mount_point(target) && sys::is_folder(target);
}

// What of a mount point's entries could not be moved by this user.
std::optional<Problem> obstacle_within(const std::string& target) {
  const auto problem = [](const std::string& on, std::string why, std::string hint) {
    return Problem{what_failed, on, std::move(why), std::move(hint)};
  };
  if (const auto mounts = sys::mounts_below(target); !mounts.empty())
    return problem(target, mounts.front() + " within it is a mount point of its own, which cannot be moved",
                   "unmount it, or name a folder below " + target);
  struct stat info;
  if (stat(target.c_str(), &info) != 0) throw system_error(errno, "cannot look at", target);
  if (geteuid() == 0) return std::nullopt;
  const std::string other_user = "make it the user's own, or run the step as another (`as`)";
  if (info.st_uid != geteuid()) return problem(target, "it belongs to another user", other_user);
  if (access(target.c_str(), W_OK | X_OK) != 0) return problem(target, "permission denied", other_user);
  for (const std::string& name : sys::names_in(target)) {
    const std::string entry = target + "/" + name;
    struct stat one;
    // To move a folder is to write into it: its `..` changes.
    if (!sys::is_set_apart(name, true) && lstat(entry.c_str(), &one) == 0 && S_ISDIR(one.st_mode) &&
        access(entry.c_str(), W_OK) != 0)
      return problem(entry, "it cannot be moved: permission denied", other_user);
  }
  return std::nullopt;
}

}  // namespace

SwitchOutlook switch_outlook(const std::string& target) {
  SwitchOutlook outlook{.folder = sys::parent_of(target), .obstacle = {}, .hint = ""};
  std::string why;
  if (sys::can_exchange(target, &why)) return outlook;
  if (by_entries_only(target)) {
    outlook.folder = target;
    outlook.hint =
        "not atomic: " + target +
        " is a mount point: its entries are switched one by one, which can be resumed and undone; the "
        "old ones are kept within it";
    outlook.obstacle = obstacle_within(target);
  } else {
    outlook.obstacle = Problem{what_failed, target, why, "name a path that is not there yet"};
  }
  return outlook;
}

Switch::Switch(Call& call, std::string target, std::string beside) {
  const bool entries = by_entries_only(target);
  if (!entries && call.notes().contains(note_of_entries(target)))
    throw Error(ErrorKind::needs_person, "cannot tell which data is current", target,
                "it was a mount point when this run began, and is none now", "mount it again, then resume");
  way_ =
      entries ? by_entries(call, std::move(target)) : by_exchange(call, std::move(target), std::move(beside));
}

Switch::Switch(Switch&&) noexcept = default;
Switch::~Switch() = default;

const std::string& Switch::target() const {
  return way_->target();
}
const std::string& Switch::beside() const {
  return way_->beside();
}
Switch::State Switch::state() const {
  return way_->state();
}
bool Switch::had_old() const {
  return way_->had_old();
}
std::string Switch::kept() const {
  return state() == State::switched && had_old() ? way_->old_place() : "";
}
void Switch::prepare() {
  way_->prepare();
}
void Switch::mark() {
  way_->mark();
}
void Switch::commit() {
  way_->commit();
}
void Switch::revert() {
  way_->revert();
}
void Switch::discard() {
  way_->discard();
}
void Switch::drop_new() {
  way_->drop_new();
}

}  // namespace relight
