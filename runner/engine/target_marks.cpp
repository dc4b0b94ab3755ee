#include "runner/engine/target_marks.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "runner/engine/targets.h"
#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

constexpr std::chrono::seconds marks_patience{10};
constexpr const char* lock_of_marks = "marks.lock";

Error refused(const std::string& what, const std::string& on, int error_number, const std::string& hint) {
  return Error(ErrorKind::refused, what, on, std::strerror(error_number), hint);
}

std::string hint_for(const std::string& folder) {
  const std::string parent = sys::parent_of(folder);
  return "as root, once: mkdir -p " + folder + " && chmod 1777 " + folder + " && chmod a+x " + parent;
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

std::string name_of_target(const std::string& target) {
  return sys::sha256_hex(target);
}

std::string mark_name(const std::string& target) {
  return name_of_target(target) + ".json";
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

std::vector<std::string> names_in_marks(const std::string& folder) {
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
  for (const std::string& name : names_in_marks(folder)) {
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

std::vector<MarkEntry> entries_of(const std::string& text, const std::string& path) {
  try {
    const Json json = Json::parse(text);
    std::vector<MarkEntry> entries;
    for (const Json& one : json.at("runs"))
      entries.push_back({one.at("run").get<std::string>(), one.at("state_folder").get<std::string>(),
                         one.at("user").get<std::string>(), one.at("owns").get<bool>(),
                         one.at("changed").get<std::uint64_t>(), one.value("freed", false)});
    return entries;
  } catch (const Json::exception&) {
    throw Error(ErrorKind::needs_person, "cannot read the mark of a target", path, "it is damaged",
                "see with `relight status` that no run of its user is unfinished, then remove it");
  }
}

std::string target_in(const std::string& text) {
  const Json mark = Json::parse(text, nullptr, false);
  if (!mark.is_object() || !mark.contains("target") || !mark["target"].is_string()) return "";
  return mark["target"].get<std::string>();
}

// Only what a person has said is over, or what is not there any more, as far as this user can see.
bool is_over(const MarkEntry& entry) {
  if (entry.owns) return false;
  try {
    return entry.freed || !sys::exists(entry.state_folder + "/runs/" + entry.run);
  } catch (const Error&) {
    return false;  // closed to this user
  }
}

}  // namespace

// False: it is not there.
bool marks_there(const std::string& folder) {
  struct stat status;
  if (::lstat(folder.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return true;
    throw refused("cannot use the folder of targets", folder, ENOTDIR, "put it out of the way");
  }
  if (errno == ENOENT) return false;
  throw refused("cannot use the folder of targets", folder, errno, hint_for(folder));
}

void make_marks_folder(const std::string& folder) {
  const bool root = ::geteuid() == 0;
  if (!marks_there(folder)) {
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

std::string lock_path(const std::string& folder, const std::string& target) {
  return folder + "/" + name_of_target(target) + ".lock";
}

bool overlap(const std::string& target, const std::string& other) {
  constexpr std::string_view path = "path:";
  if (target == other) return true;
  const std::string &outer = target.size() < other.size() ? target : other,
                    &inner = &outer == &target ? other : target;
  if (!outer.starts_with(path) || !inner.starts_with(outer)) return false;
  return outer.back() == '/' || inner[outer.size()] == '/';
}

sys::FileLock lock_marks(const std::string& folder) {
  const std::string path = folder + "/" + lock_of_marks;
  std::optional<sys::FileLock> lock;
  sys::wait_until(marks_patience, std::chrono::milliseconds(2), {}, [&] {
    lock = sys::FileLock::try_lock(path);
    return lock.has_value();
  });
  if (!lock)
    throw Error(ErrorKind::refused, "cannot change the marks of targets", path, "another process holds it",
                "see with `fuser " + path + "` which it is");
  return std::move(*lock);
}

MarkSet::MarkSet(const std::string& folder) {
  for (const UserFolder& user : user_folders(folder))
    for (const std::string& name : names_in_marks(user.path)) {
      if (!name.ends_with(".json") || name.starts_with('.')) continue;
      Mark mark{"", user.path + "/" + name, user.owner, {}};
      std::optional<std::string> text;
      try {
        text = read_mark(mark.path);
      } catch (const Error&) {
        text = "";  // as a damaged one: in the way of its own target only
      }
      if (!text) continue;
      mark.target = target_in(*text);
      texts_.push_back({name, *text, std::move(mark)});
    }
}

std::vector<Mark> MarkSet::of(const std::string& target) const {
  std::vector<Mark> marks;
  const std::string own_name = mark_name(target);
  for (const Text& one : texts_) {
    const bool meant = one.name == own_name || (!one.mark.target.empty() && overlap(target, one.mark.target));
    if (!meant) continue;
    marks.push_back(one.mark);
    marks.back().runs = entries_of(one.text, one.mark.path);
  }
  return marks;
}

std::vector<Mark> MarkSet::all() const {
  std::vector<Mark> marks;
  for (const Text& one : texts_) {
    if (one.mark.target.empty()) continue;
    marks.push_back(one.mark);
    marks.back().runs = entries_of(one.text, one.mark.path);
  }
  return marks;
}

std::vector<Mark> exact_marks(const std::string& folder, const std::string& target) {
  std::vector<Mark> marks;
  for (const UserFolder& user : user_folders(folder)) {
    Mark mark{target, user.path + "/" + mark_name(target), user.owner, {}};
    const std::optional<std::string> text = read_mark(mark.path);
    if (!text) continue;
    mark.runs = entries_of(*text, mark.path);
    marks.push_back(std::move(mark));
  }
  return marks;
}

Mark own_mark(const std::string& folder, const std::string& target) {
  Mark mark{target, own_folder(folder) + "/" + mark_name(target), {::geteuid(), ::getegid()}, {}};
  if (const std::optional<std::string> text = read_mark(mark.path)) mark.runs = entries_of(*text, mark.path);
  return mark;
}

void save(const Mark& mark) {
  if (mark.runs.empty()) return sys::remove_file(mark.path);
  Json runs = Json::array();
  for (const MarkEntry& entry : mark.runs) {
    runs.push_back({{"run", entry.run},
                    {"state_folder", entry.state_folder},
                    {"user", entry.user},
                    {"owns", entry.owns},
                    {"changed", entry.changed}});
    if (entry.freed) runs.back()["freed"] = true;
  }
  const Json json = {{"target", mark.target}, {"runs", runs}};
  // A user need not be in the group that the folder has; root keeps the file its user's.
  std::optional<sys::Owner> owner;
  if (mark.owner.uid != ::geteuid()) owner = mark.owner;
  sys::write_file(mark.path, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", 0644, owner);
}

void sweep_marks(const std::string& folder) {
  std::vector<Mark> marks;
  try {
    marks = MarkSet(folder).all();
  } catch (const Error&) {
    return;  // a damaged mark is told to those who ask for its target; until then all stay
  }
  const auto asked_for = [&](const Mark& mark, const MarkEntry& entry) {
    if (!is_over(entry)) return true;
    for (const Mark& other : marks) {
      if (!overlap(mark.target, other.target)) continue;
      for (const MarkEntry& earlier : other.runs)
        if (earlier.run != entry.run && earlier.changed > 0 && earlier.changed < entry.changed &&
            !is_over(earlier))
          return true;
    }
    return false;
  };
  std::set<std::string> locks{lock_of_marks};
  for (const Mark& mark : marks) {
    Mark left = mark;
    left.runs.clear();
    for (const MarkEntry& entry : mark.runs)
      if (asked_for(mark, entry)) left.runs.push_back(entry);
    const bool may = ::geteuid() == 0 || mark.owner.uid == ::geteuid();
    if (may && left.runs.size() < mark.runs.size()) save(left);
    if (!may || !left.runs.empty()) locks.insert(name_of_target(mark.target) + ".lock");
  }
  for (const std::string& name : names_in_marks(folder)) {
    if (!name.ends_with(".lock") || locks.contains(name)) continue;
    const std::string path = folder + "/" + name;
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
        (::geteuid() != 0 && status.st_uid != ::geteuid()))
      continue;
    // Held while it goes: who waits for it finds that the name has gone, and makes it anew.
    const auto lock = sys::FileLock::try_lock(path);
    if (lock && ::unlink(path.c_str()) != 0 && errno != ENOENT)
      throw system_error(errno, "cannot remove", path);
  }
}

}  // namespace relight
