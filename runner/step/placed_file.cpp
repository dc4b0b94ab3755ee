#include "runner/step/placed_file.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runner/step/parents.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

std::optional<struct stat> stat_of(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error(errno, "cannot look at", path);
}

constexpr const char* way_out = "name another path, or move away what is there";

// A link is not followed, and cannot bear the marker that tells old from new.
std::optional<std::string> in_the_way(const std::string& path) {
  const auto there = stat_of(path);
  if (!there || S_ISREG(there->st_mode)) return std::nullopt;
  if (S_ISDIR(there->st_mode)) return "a folder is there";
  if (S_ISLNK(there->st_mode)) return "a symbolic link is there";
  return "something that is no file is there";
}

// A file system without user attributes (an old tmpfs, NFS) cannot hold the markers of a switch.
bool bears_no_marker(const std::string& folder) {
  return lgetxattr(folder.c_str(), "user.relight", nullptr, 0) < 0 && (errno == ENOTSUP || errno == ENOSYS);
}

}  // namespace

PlacedFile::PlacedFile(Call& call, std::string path, mode_t new_mode)
    : call_(call), path_(std::move(path)), new_mode_(new_mode) {}

bool PlacedFile::is(std::string_view bytes, const Access& access) const {
  const auto status = stat_of(path_);
  if (!status || !S_ISREG(status->st_mode)) return false;
  if (!access.fits(status->st_mode, status->st_uid, status->st_gid)) return false;
  if (static_cast<std::uint64_t>(status->st_size) != bytes.size()) return false;
  return sys::read_file(path_, bytes.size() + 1) == bytes;
}

void PlacedFile::make(const std::string& at, std::string_view bytes, const Access& access) const {
  mode_t mode = new_mode_;
  sys::Owner owner{geteuid(), getegid()};
  if (const auto old = stat_of(path_); old && S_ISREG(old->st_mode)) {
    mode = old->st_mode & 07777;
    owner = {old->st_uid, old->st_gid};
  }
  sys::write_new_file(at, bytes, access.mode.value_or(mode),
                      sys::Owner{access.uid.value_or(owner.uid), access.gid.value_or(owner.gid)});
}

void PlacedFile::put(std::string_view bytes, const Access& access) {
  Switch change(call_, path_);
  if (change.state() == Switch::State::switched) {
    // An earlier attempt put a file there, and was asked for another one since: the old one stays kept.
    if (is(bytes, access)) return;
    const std::string next = change.beside() + ".next";
    make(next, bytes, access);
    if (const auto marker = sys::marker(path_)) sys::set_marker(next, *marker);
    failpoint("placed_file:next");
    sys::rename_durably(next, path_);
    return;
  }
  if (is(bytes, access)) {
    change.drop_new();
    return;
  }
  if (const auto why = in_the_way(path_))
    throw Error(ErrorKind::refused, "cannot put a file", path_, *why, way_out);
  if (const std::string folder = sys::parent_of(path_); sys::exists(folder) && !sys::is_folder(folder))
    throw Error(ErrorKind::refused, "cannot put a file", path_, folder + " is not a folder", way_out);
  change.drop_new();
  make_parents(call_, path_);
  failpoint("placed_file:parents");
  make(change.beside(), bytes, access);
  failpoint("placed_file:written");
  change.mark();
  failpoint("placed_file:marked");
  change.commit();
  failpoint("placed_file:switched");
}

void PlacedFile::undo() {
  Switch change(call_, path_);
  sys::remove_file(change.beside() + ".next");
  change.revert();
  failpoint("placed_file:reverted");
  change.drop_new();
  remove_made_parents(call_);
}

void PlacedFile::discard() {
  Switch change(call_, path_);
  sys::remove_file(change.beside() + ".next");
  change.discard();
}

Json PlacedFile::kept() const {
  const std::string old = Switch(call_, path_).kept();
  if (old.empty()) return Json::array();
  return Json::array({{{"on", old}, {"bytes", sys::tree_bytes(old)}}});
}

void PlacedFile::foresee(Preview& preview) const {
  const auto problem = [&](const std::string& why, const std::string& hint) {
    preview.problems.push_back({"cannot put a file", path_, why, hint});
  };
  const std::string other_user = "run relight as root, or give the step `as`";
  std::string folder = sys::parent_of(path_);
  while (!sys::exists(folder)) folder = sys::parent_of(folder);
  if (!sys::is_folder(folder)) return problem(folder + " is not a folder", way_out);
  if (const auto protection = write_protected("cannot put a file", folder)) {
    preview.problems.push_back(*protection);
    return;
  }
  if (access(folder.c_str(), W_OK) != 0) problem(folder + " cannot be written by this user", other_user);
  if (bears_no_marker(folder))
    problem("its file system has no extended attributes, which tell the new file from the old",
            "put it on a file system with user attributes (ext4, xfs, btrfs)");

  const auto old = stat_of(path_);
  if (!old) return;
  if (const auto why = in_the_way(path_)) return problem(*why, way_out);
  if (access(path_.c_str(), W_OK) != 0) problem("the old file cannot be written by this user", other_user);
  if (const SwitchOutlook outlook = switch_outlook(path_); outlook.obstacle)
    return problem(outlook.obstacle->why, way_out);
  preview.keeps.push_back("the old " + path_ + " (" +
                          sys::show_size(static_cast<std::uint64_t>(old->st_size)) + ")");
}

std::string PlacedFile::state_digest() const {
  const auto status = stat_of(path_);
  if (!status) return "absent";
  if (!S_ISREG(status->st_mode)) return sys::tree_digest(path_);
  return sys::sha256_hex(std::to_string(status->st_mode) + " " + std::to_string(status->st_uid) + " " +
                         std::to_string(status->st_gid) + " " + sys::sha256_file(path_));
}

}  // namespace relight
