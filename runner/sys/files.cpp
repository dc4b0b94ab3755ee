#include "runner/sys/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/text.h"

namespace relight::sys {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

int Fd::release() {
  int fd = fd_;
  fd_ = -1;
  return fd;
}

namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw system_error(errno, what, path);
}

Fd open_or_fail(const std::string& path, int flags, const char* what) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) fail(what, path);
  return fd;
}

std::string nearest_existing(const std::string& path) {
  std::string at = absolute(path);
  struct stat info;
  while (::stat(at.c_str(), &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) fail("cannot look at", at);
    if (at == "/") fail("cannot look at", at);
    at = parent_of(at);
  }
  return at;
}

}  // namespace

std::string read_file(const std::string& path, std::uint64_t limit) {
  Fd fd = open_or_fail(path, O_RDONLY, "cannot read");
  std::string bytes;
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) fail("cannot read", path);
  const auto too_large = [&] {
    return Error(ErrorKind::refused, "cannot read", path, "it is larger than " + show_size(limit));
  };
  if (S_ISREG(info.st_mode)) {
    if (static_cast<std::uint64_t>(info.st_size) > limit) throw too_large();
    bytes.reserve(static_cast<std::size_t>(info.st_size));
  }
  char block[65536];  // to the end, whatever the size said: a file of /proc says 0, and a file may grow
  while (true) {
    ssize_t got = ::read(fd.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read", path);
    if (got == 0) return bytes;
    bytes.append(block, static_cast<std::size_t>(got));
    if (bytes.size() > limit) throw too_large();
  }
}

std::optional<std::string> read_file_if_there(const std::string& path) {
  if (!exists(path)) return std::nullopt;
  try {
    return read_file(path);
  } catch (const Error&) {
    if (!exists(path)) return std::nullopt;  // it went between the two looks
    throw;
  }
}

bool exists(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  if (errno == ESRCH) return false;  // in /proc: its process has just ended
  fail("cannot look at", path);
}

bool is_folder(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return S_ISDIR(info.st_mode);
  if (errno == ENOENT || errno == ENOTDIR) return false;
  fail("cannot look at", path);
}

namespace {

// `told`: the path that an error names.
void write_afresh(const std::string& at, std::string_view bytes, mode_t mode, std::optional<Owner> owner,
                  const std::string& told) {
  if (::unlink(at.c_str()) != 0 && errno != ENOENT) fail("cannot write", at);
  Fd fd(::open(at.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail("cannot write", told);
  const auto give_up = [&](int error_number) {
    ::unlink(at.c_str());
    return system_error(error_number, "cannot write", told);
  };
  if (owner && ::fchown(fd.get(), owner->uid, owner->gid) != 0) throw give_up(errno);
  if (::fchmod(fd.get(), mode) != 0) throw give_up(errno);
  while (!bytes.empty()) {
    ssize_t put = fails_at("sys:write") ? -1 : ::write(fd.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw give_up(errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  if (fails_at("sys:fsync") || ::fsync(fd.get()) != 0) throw give_up(errno);
  if (::close(fd.release()) != 0) throw give_up(errno);
}

}  // namespace

void write_file(const std::string& path, std::string_view bytes, mode_t mode, std::optional<Owner> owner) {
  const std::string beside = parent_of(path) + "/." + name_of_path(path) + ".tmp";
  write_afresh(beside, bytes, mode, owner, path);
  if (fails_at("sys:rename") || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(beside.c_str());
    throw system_error(error_number, "cannot write", path);
  }
  sync_folder(parent_of(path));
}

void write_new_file(const std::string& path, std::string_view bytes, mode_t mode,
                    std::optional<Owner> owner) {
  write_afresh(path, bytes, mode, owner, path);
  sync_folder(parent_of(path));
}

void make_folders(const std::string& path, mode_t mode) {
  if (is_folder(path)) return;
  const std::string parent = parent_of(path);
  if (parent != path) make_folders(parent, mode);
  if (fails_at("sys:mkdir") || ::mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST && is_folder(path)) return;  // made by another at the same time
    fail("cannot make the folder", path);
  }
  if (::chmod(path.c_str(), mode) != 0) fail("cannot make the folder", path);  // whatever the umask
  sync_folder(path);
  sync_folder(parent);
}

void sync_folder(const std::string& path) {
  Fd fd = open_or_fail(path, O_RDONLY | O_DIRECTORY, "cannot sync");
  if (fails_at("sys:fsync_folder") || ::fsync(fd.get()) != 0) fail("cannot sync", path);
}

void sync_file(const std::string& path) {
  Fd fd = open_or_fail(path, O_RDONLY, "cannot sync");
  if (fails_at("sys:fsync") || ::fsync(fd.get()) != 0) fail("cannot sync", path);
}

void sync_tree(const std::string& path) {
  Fd fd = open_or_fail(path, O_RDONLY, "cannot sync");
  if (fails_at("sys:syncfs") || ::syncfs(fd.get()) != 0) fail("cannot sync", path);
}

namespace {

void rename_with(unsigned flags, const std::string& from, const std::string& to, const char* what) {
  if (fails_at(flags == RENAME_EXCHANGE ? "sys:exchange" : "sys:rename") ||
      ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) != 0) {
    int error_number = errno;
    throw system_error(error_number, what, from + " -> " + to);
  }
  sync_folder(parent_of(to));
  if (parent_of(from) != parent_of(to)) sync_folder(parent_of(from));
}

}  // namespace

void rename_durably(const std::string& from, const std::string& to) {
  rename_with(0, from, to, "cannot rename");
}
void rename_new(const std::string& from, const std::string& to) {
  rename_with(RENAME_NOREPLACE, from, to, "cannot rename");
}
void exchange(const std::string& a, const std::string& b) {
  rename_with(RENAME_EXCHANGE, a, b, "cannot exchange");
}

namespace {

// Nothing: it is not there.
std::optional<struct statx> statx_of(const std::string& path) {
  struct statx info;
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0) return info;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail("cannot look at", path);
}

}  // namespace

bool is_mount_point(const std::string& path) {
  const auto info = statx_of(path);
  return info && (info->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool can_exchange(const std::string& target, std::string* why) {
  const auto no = [&](std::string because) {
    if (why) *why = std::move(because);
    return false;
  };
  const auto info = statx_of(target);
  if (!info) return true;  // nothing there: a rename, which needs no exchange
  if (info->stx_attributes & STATX_ATTR_MOUNT_ROOT) return no(target + " is a mount point");
  // A folder that lies in an overlay's lower layer cannot be renamed (EXDEV), and nothing but a rename
  // tells whether it does, so that every folder of an overlay is taken for one.
  struct statfs system;
  if (S_ISDIR(info->stx_mode) && ::statfs(target.c_str(), &system) == 0 &&
      static_cast<unsigned long>(system.f_type) == OVERLAYFS_SUPER_MAGIC)
    return no(target + " is a folder of an overlay file system, which may be unable to rename it");
  return true;
}

void remove_file(const std::string& path) {
  if (fails_at("sys:unlink") || ::unlink(path.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    fail("cannot remove", path);
  }
  sync_folder(parent_of(path));
}

std::uint64_t free_bytes(const std::string& path) {
  struct statvfs info;
  const std::string at = nearest_existing(path);
  if (::statvfs(at.c_str(), &info) != 0) fail("cannot read the free space of", at);
  return static_cast<std::uint64_t>(::geteuid() == 0 ? info.f_bfree : info.f_bavail) * info.f_frsize;
}

std::uint64_t device_of(const std::string& path) {
  struct stat info;
  const std::string at = nearest_existing(path);
  if (::stat(at.c_str(), &info) != 0) fail("cannot look at", at);
  return info.st_dev;
}

std::string parent_of(const std::string& path) {
  std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  std::size_t slash = path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

std::string name_of_path(const std::string& path) {
  std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "" : "/";
  std::size_t slash = path.rfind('/', end);
  return slash == std::string::npos ? path.substr(0, end + 1) : path.substr(slash + 1, end - slash);
}

std::string absolute(const std::string& path) {
  std::string whole = path;
  if (path.empty() || path[0] != '/') {
    char* here = ::getcwd(nullptr, 0);
    if (here == nullptr) fail("cannot find the current folder of", path);
    whole = std::string(here) + "/" + path;
    std::free(here);
  }
  std::vector<std::string> parts;
  for (std::string& part : split(whole, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(std::move(part));
    }
  }
  return "/" + join(parts, "/");
}

}  // namespace relight::sys
