#include "runner/engine/targets.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

// Between another's lock and its mark, or while the last process of an ended run goes away.
constexpr std::chrono::milliseconds patience{2000};

struct Entry {
  std::string run, state_folder, user;
  bool owns = false;
  std::uint64_t changed = 0;
};

// What one user's runs have to say about one target.
struct Mark {
  std::string path;
  sys::Owner owner;
  std::vector<Entry> runs;
};

Error refused(const std::string& what, const std::string& on, int error_number, const std::string& hint) {
  return Error(ErrorKind::refused, what, on, std::strerror(error_number), hint);
}

std::string hint_for(const std::string& folder) {
  const std::string parent = sys::parent_of(folder);
  return "as root, once: mkdir -p " + folder + " && chmod 1777 " + folder + " && chmod a+x " + parent;
}

// False: it is not there.
bool is_there(const std::string& folder) {
  struct stat status;
  if (::lstat(folder.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return true;
    throw refused("cannot use the folder of targets", folder, ENOTDIR, "put it out of the way");
  }
  if (errno == ENOENT) return false;
  throw refused("cannot use the folder of targets", folder, errno, hint_for(folder));
}

// Every user comes through the parent, which root may have made for itself alone: what lies in it is
// protected by its own mode.
void open_the_way(const std::string& folder) {
  const std::string parent = sys::parent_of(folder);
  struct stat status;
  if (::stat(parent.c_str(), &status) == 0 && (status.st_mode & 0111) != 0111 &&
      ::chmod(parent.c_str(), (status.st_mode & 07777) | 0111) != 0)
    throw refused("cannot open the folder of targets to all users", parent, errno, hint_for(folder));
}

void make_folder(const std::string& folder) {
  const bool root = ::geteuid() == 0;
  if (!is_there(folder)) {
    if (root) sys::make_folders(sys::parent_of(folder), 0755);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
      throw refused("cannot make the folder of targets", folder, errno, hint_for(folder));
    if (::chmod(folder.c_str(), 01777) != 0 && errno != EPERM)  // EPERM: made by another just now
      throw refused("cannot make the folder of targets", folder, errno, hint_for(folder));
    sys::sync_folder(sys::parent_of(folder));
  }
  struct stat status;
  if (root) {
    open_the_way(folder);
    if (::stat(folder.c_str(), &status) == 0 && (status.st_mode & 07777) != 01777 &&
        ::chmod(folder.c_str(), 01777) != 0)
      throw refused("cannot open the folder of targets to all users", folder, errno, hint_for(folder));
  } else if (::access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    throw refused("cannot use the folder of targets", folder, errno, hint_for(folder));
  }
}

std::string name_of_target(const std::string& target) {
  return sys::sha256_hex(target);
}

std::string lock_path(const std::string& folder, const std::string& target) {
  return folder + "/" + name_of_target(target) + ".lock";
}

// The folder of this user's marks. In a folder that all can write to, another may have made it first.
std::string own_folder(const std::string& folder) {
  const std::string path = folder + "/" + std::to_string(::geteuid());
  if (::mkdir(path.c_str(), 0755) == 0) {
    if (::chmod(path.c_str(), 0755) != 0) throw system_error(errno, "cannot make the folder", path);
    sys::sync_folder(folder);
  } else if (errno != EEXIST) {
    throw refused("cannot make the folder", path, errno, hint_for(folder));
  }
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid())
    throw Error(ErrorKind::refused, "cannot use the folder of this user's marks", path,
                "it was made by another user", "remove it, and see who did that");
  return path;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), &::closedir);
  if (!entries) throw refused("cannot use the folder of targets", folder, errno, hint_for(folder));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get())) names.emplace_back(entry->d_name);
  return names;
}

struct UserFolder {
  std::string path;
  sys::Owner owner;
};

// Folders of users, those that are really theirs.
std::vector<UserFolder> user_folders(const std::string& folder) {
  std::vector<UserFolder> folders;
  for (const std::string& name : names_in(folder)) {
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const std::string path = folder + "/" + name;
    struct stat status;
    if (::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
        std::to_string(status.st_uid) == name)
      folders.push_back({path, {status.st_uid, status.st_gid}});
  }
  return folders;
}

// Another user's file: neither waited for (a FIFO) nor followed. Nothing: it is not there.
std::optional<std::string> read_mark(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  struct stat status;
  if (!fd || ::fstat(fd.get(), &status) != 0)
    throw system_error(errno, "cannot read the mark of a target", path);
  std::string text;
  if (!S_ISREG(status.st_mode)) return text;
  char chunk[65536];
  ssize_t n;
  while ((n = ::read(fd.get(), chunk, sizeof chunk)) > 0) text.append(chunk, static_cast<std::size_t>(n));
  if (n < 0) throw system_error(errno, "cannot read the mark of a target", path);
  return text;
}

std::vector<Entry> entries_of(const std::string& text, const std::string& path) {
  try {
    const Json json = Json::parse(text);
    std::vector<Entry> entries;
    for (const Json& one : json.at("runs"))
      entries.push_back({one.at("run").get<std::string>(), one.at("state_folder").get<std::string>(),
                         one.at("user").get<std::string>(), one.at("owns").get<bool>(),
                         one.at("changed").get<std::uint64_t>()});
    return entries;
  } catch (const Json::exception&) {
    throw Error(ErrorKind::needs_person, "cannot read the mark of a target", path, "it is damaged",
                "see with `relight status` that no run of its user is unfinished, then remove it");
  }
}

std::vector<Mark> marks_of(const std::string& folder, const std::string& target) {
  std::vector<Mark> marks;
  for (const UserFolder& user : user_folders(folder)) {
    Mark mark{user.path + "/" + name_of_target(target) + ".json", user.owner, {}};
    const std::optional<std::string> text = read_mark(mark.path);
    if (!text) continue;
    mark.runs = entries_of(*text, mark.path);
    marks.push_back(std::move(mark));
  }
  return marks;
}

void save(const Mark& mark, const std::string& target) {
  if (mark.runs.empty()) return sys::remove_file(mark.path);
  Json runs = Json::array();
  for (const Entry& entry : mark.runs)
    runs.push_back({{"run", entry.run},
                    {"state_folder", entry.state_folder},
                    {"user", entry.user},
                    {"owns", entry.owns},
                    {"changed", entry.changed}});
  const Json json = {{"target", target}, {"runs", runs}};
  // A user need not be in the group that the folder has; root keeps the file its user's.
  std::optional<sys::Owner> owner;
  if (mark.owner.uid != ::geteuid()) owner = mark.owner;
  sys::write_file(mark.path, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", 0644, owner);
}

TargetHolder holder(const std::string& target, const Entry& entry) {
  return {target, entry.run, entry.state_folder, entry.user};
}

std::optional<TargetHolder> other_owner(const std::string& folder, const std::string& target,
                                        const std::string& run) {
  for (const Mark& mark : marks_of(folder, target))
    for (const Entry& entry : mark.runs)
      if (entry.owns && entry.run != run) return holder(target, entry);
  return std::nullopt;
}

// Whose lock it may be where nobody owns the target: a run's that has just ended, or is just beginning.
TargetHolder likely_holder(const std::string& folder, const std::string& target) {
  Entry likely{"(unknown)", "(unknown)", "(unknown)", false, 0};
  for (const Mark& mark : marks_of(folder, target))
    for (const Entry& entry : mark.runs)
      if (entry.owns || entry.changed > likely.changed) likely = entry;
  return holder(target, likely);
}

// Calls `change` with the run's entry in whichever mark it stands, and saves that mark when it says so.
// False: it stands in none.
template <class Change>
bool change_entry(const std::string& folder, const std::string& target, const std::string& run,
                  const Change& change) {
  for (Mark& mark : marks_of(folder, target))
    for (std::size_t i = 0; i < mark.runs.size(); ++i) {
      Entry& entry = mark.runs[i];
      if (entry.run != run) continue;
      if (!change(entry)) return true;
      if (!entry.owns && entry.changed == 0) mark.runs.erase(mark.runs.begin() + static_cast<long>(i));
      save(mark, target);
      return true;
    }
  return false;
}

// True: it was not before.
bool mark_owned(const std::string& folder, const std::string& target, const Entry& run) {
  bool newly = true;
  if (change_entry(folder, target, run.run, [&](Entry& entry) {
        newly = !entry.owns;
        entry.owns = true;
        return newly;
      }))
    return newly;
  Mark mark;
  mark.path = own_folder(folder) + "/" + name_of_target(target) + ".json";
  mark.owner = {::geteuid(), ::getegid()};
  if (const std::optional<std::string> text = read_mark(mark.path)) mark.runs = entries_of(*text, mark.path);
  mark.runs.push_back(run);
  save(mark, target);
  return true;
}

std::uint64_t last_change(const std::string& folder, const std::string& target) {
  std::uint64_t last = 0;
  for (const Mark& mark : marks_of(folder, target))
    for (const Entry& entry : mark.runs) last = std::max(last, entry.changed);
  return last;
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

std::optional<TargetHolder> Targets::take(const std::vector<std::string>& targets, const std::string& run,
                                          const std::string& state_folder) {
  std::vector<std::string> wanted;
  for (const std::string& target : targets)
    if (std::find(held_.begin(), held_.end(), target) == held_.end()) wanted.push_back(target);
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted.empty()) return std::nullopt;
  make_folder(folder_);

  std::vector<sys::FileLock> locks;
  for (const std::string& target : wanted) {
    std::optional<sys::FileLock> lock;
    std::optional<TargetHolder> owner;
    sys::wait_until(patience, std::chrono::milliseconds(20), {}, [&] {
      lock = sys::FileLock::try_lock(lock_path(folder_, target));
      owner = other_owner(folder_, target, run);
      return lock || owner;
    });
    if (owner) return owner;
    if (!lock) return likely_holder(folder_, target);
    locks.push_back(std::move(*lock));
  }

  const Entry entry{run, state_folder, sys::current_user().name, true, 0};
  std::vector<std::string> marked;
  try {
    for (const std::string& target : wanted)
      if (mark_owned(folder_, target, entry)) marked.push_back(target);
  } catch (const Error&) {
    try {
      release(marked, run, false, folder_);
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
  if (targets.empty() || !is_there(folder)) return std::nullopt;
  for (const std::string& target : targets)
    if (auto owner = other_owner(folder, target, run)) return owner;
  return std::nullopt;
}

void Targets::changed(const std::string& run) {
  for (const std::string& target : held_) {
    const std::uint64_t last = last_change(folder_, target);
    const bool there = change_entry(folder_, target, run, [&](Entry& entry) {
      if (entry.changed > 0 && entry.changed == last) return false;
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
  if (targets.empty() || !is_there(folder)) return std::nullopt;
  for (const std::string& target : targets) {
    const std::vector<Mark> marks = marks_of(folder, target);
    std::uint64_t own = 0;
    const Entry* latest = nullptr;
    for (const Mark& mark : marks)
      for (const Entry& entry : mark.runs) {
        if (entry.run == run) own = entry.changed;
        if (latest == nullptr || entry.changed > latest->changed) latest = &entry;
      }
    if (own > 0 && latest->changed > own) return holder(target, *latest);
  }
  return std::nullopt;
}

std::vector<TargetHolder> Targets::of(const std::string& run, const std::string& folder) {
  std::vector<TargetHolder> targets;
  if (!is_there(folder)) return targets;
  for (const UserFolder& user : user_folders(folder))
    for (const std::string& name : names_in(user.path)) {
      if (!name.ends_with(".json")) continue;
      const std::string text = read_mark(user.path + "/" + name).value_or("");
      const Json mark = Json::parse(text, nullptr, false);
      if (!mark.is_object() || !mark.contains("target") || !mark["target"].is_string()) continue;
      for (const Entry& entry : entries_of(text, user.path + "/" + name))
        if (entry.run == run) targets.push_back(holder(mark["target"].get<std::string>(), entry));
    }
  return targets;
}

void Targets::release(const std::vector<std::string>& targets, const std::string& run, bool undone,
                      const std::string& folder) {
  if (targets.empty() || !is_there(folder)) return;
  for (const std::string& target : targets)
    change_entry(folder, target, run, [&](Entry& entry) {
      const Entry before = entry;
      entry.owns = false;
      if (undone) entry.changed = 0;
      return before.owns || before.changed != entry.changed;
    });
}

}  // namespace relight
