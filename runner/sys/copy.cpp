// copy_tree of files.h.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/tree.h"

namespace relight::sys {
namespace {

class Copier {
 public:
  Copier(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}

  void run() {
    Fd source = open_parent(from_), target = open_parent(to_);
    one(source.get(), name_of_path(absolute(from_)), target.get(), name_of_path(absolute(to_)), "");
  }

 private:
  static Fd open_parent(const std::string& path) {
    const std::string parent = parent_of(absolute(path));
    Fd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) throw system_error(errno, "cannot open the folder", parent);
    return fd;
  }

  [[noreturn]] void fail(const std::string& relative) const {
    const int error_number = errno;
    throw system_error(error_number, "cannot copy", from_ + relative + " -> " + to_ + relative);
  }

  void one(int source, const std::string& name, int target, const std::string& new_name,
           const std::string& relative) {
    struct stat info;
    if (::fstatat(source, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) fail(relative);
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      const auto [first, fresh] = linked_.try_emplace({info.st_dev, info.st_ino}, relative);
      if (!fresh) {
        if (::linkat(AT_FDCWD, (to_ + first->second).c_str(), target, new_name.c_str(), 0) != 0)
          fail(relative);
        return;
      }
    }
    if (S_ISDIR(info.st_mode)) {
      if (::mkdirat(target, new_name.c_str(), 0700) != 0) fail(relative);
      Fd from = open_folder_at(source, name, from_ + relative);
      Fd into = open_folder_at(target, new_name, to_ + relative);
      for (const std::string& child : names_in(from.get(), from_ + relative)) {
        if (relative.empty() && is_set_apart(child, mounted_))
          continue;  // a copy is not marked as its original is
        one(from.get(), child, into.get(), child, relative + "/" + child);
      }
    } else if (S_ISREG(info.st_mode)) {
      bytes(source, name, target, new_name, info, relative);
    } else if (S_ISLNK(info.st_mode)) {
      std::string text(4096, '\0');
      const ssize_t size = ::readlinkat(source, name.c_str(), text.data(), text.size());
      if (size < 0) fail(relative);
      text.resize(static_cast<std::size_t>(size));
      if (::symlinkat(text.c_str(), target, new_name.c_str()) != 0) fail(relative);
    } else if (::mknodat(target, new_name.c_str(), (info.st_mode & S_IFMT) | 0600, info.st_rdev) != 0) {
      fail(relative);
    }
    attributes(source, name, target, new_name, info, relative);
  }

  void bytes(int source, const std::string& name, int target, const std::string& new_name,
             const struct stat& info, const std::string& relative) {
    Fd from(::openat(source, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!from) fail(relative);
    Fd into(::openat(target, new_name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!into) fail(relative);
    if (fails_at("sys:copy")) fail(relative);
    if (::ioctl(into.get(), FICLONE, from.get()) == 0) return;
    if (::ftruncate(into.get(), info.st_size) != 0) fail(relative);
    // Only what holds data is copied: a hole stays a hole.
    for (off_t at = 0; at < info.st_size;) {
      const off_t data = ::lseek(from.get(), at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;  // a hole up to the end
      if (data < 0) fail(relative);
      const off_t end = ::lseek(from.get(), data, SEEK_HOLE);
      if (end < 0) fail(relative);
      stretch(from.get(), into.get(), data, end, relative);
      at = end;
    }
  }

  void stretch(int from, int into, off_t at, off_t end, const std::string& relative) {
    while (at < end) {
      off_t read_at = at, write_at = at;
      ssize_t done = kernel_copies_ ? ::copy_file_range(from, &read_at, into, &write_at,
                                                        static_cast<std::size_t>(end - at), 0)
                                    : 0;
      if (done < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        kernel_copies_ = false;
        done = 0;
      } else if (done < 0) {
        fail(relative);
      }
      if (done == 0) {  // not the kernel's to copy: by hand
        block_.resize(256u << 10);
        const auto wanted = std::min<std::size_t>(block_.size(), static_cast<std::size_t>(end - at));
        const ssize_t got = ::pread(from, block_.data(), wanted, at);
        if (got < 0) fail(relative);
        if (got == 0) return;  // the file was cut meanwhile
        for (ssize_t put = 0; put < got;) {
          const ssize_t wrote =
              ::pwrite(into, block_.data() + put, static_cast<std::size_t>(got - put), at + put);
          if (wrote < 0) fail(relative);
          put += wrote;
        }
        done = got;
      }
      at += done;
    }
  }

  // Owner first: a change of it clears set-uid bits and file capabilities. Times last.
  void attributes(int source, const std::string& name, int target, const std::string& new_name,
                  const struct stat& info, const std::string& relative) {
    struct stat made;
    if (::fstatat(target, new_name.c_str(), &made, AT_SYMLINK_NOFOLLOW) != 0) fail(relative);
    if ((made.st_uid != info.st_uid || made.st_gid != info.st_gid) &&
        ::fchownat(target, new_name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
      fail(relative);
    if (!S_ISLNK(info.st_mode) && ::fchmodat(target, new_name.c_str(), info.st_mode & 07777, 0) != 0)
      fail(relative);
    for (const Attribute& attribute : attributes_of(by_descriptor(source, name), from_ + relative))
      if (::lsetxattr(by_descriptor(target, new_name).c_str(), attribute.name.c_str(), attribute.value.data(),
                      attribute.value.size(), 0) != 0)
        fail(relative);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    if (::utimensat(target, new_name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) fail(relative);
  }

  std::string from_, to_;
  const bool mounted_ = is_mount_point(from_);
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // the first name of what has several
  std::vector<char> block_;
  bool kernel_copies_ = true;
};

}  // namespace

void copy_tree(const std::string& from, const std::string& to) {
  if (exists(to))
    throw Error(ErrorKind::permanent, "cannot copy", from + " -> " + to, "something is there already");
  try {
    Copier(from, to).run();
  } catch (const Error&) {
    try {
      remove_tree(to);
    } catch (const Error&) {
      // the first fault is the one to tell
    }
    throw;
  }
  struct stat info;
  if (::lstat(to.c_str(), &info) == 0 && S_ISREG(info.st_mode)) sync_file(to);
  if (is_folder(to)) sync_tree(to);
  sync_folder(parent_of(to));
}

}  // namespace relight::sys
