#include "runner/sys/tree_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

std::string parent_within(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string name_within(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

TreeWriter::TreeWriter(std::string folder, bool keep_owners, bool goes_on,
                       std::function<void(const std::string&)> replaces)
    : folder_(std::move(folder)),
      keep_owners_(keep_owners && ::geteuid() == 0),
      goes_on_(goes_on),
      replaces_(std::move(replaces)),
      root_(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      behind_(folder_),
      file_{} {
  if (!root_ || (goes_on_ && ::fchmod(root_.get(), 0700) != 0))
    throw system_error(errno, "cannot unpack into", folder_);
}

void TreeWriter::fail(const std::string& path, int error_number) const {
  const std::string whole = path.empty() ? folder_ : folder_ + "/" + path;
  if (error_number == ELOOP || error_number == ENOTDIR)
    throw Error(ErrorKind::refused, "cannot unpack", whole,
                "its path leads through a link or a file of the archive",
                "do not trust this archive; nothing was written outside of " + folder_);
  throw system_error(error_number, "cannot unpack", whole);
}

// Component by component, so that no link on the way is followed.
Fd TreeWriter::open_below(const std::string& path, bool make) {
  Fd at(::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at) fail(path, errno);
  if (path.empty()) return at;
  for (const std::string& name : split(path, '/')) {
    Fd next(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next && errno == ENOENT && make) {
      if (::mkdirat(at.get(), name.c_str(), 0755) != 0) fail(path, errno);
      next = Fd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (next && ::fchmod(next.get(), 0755) != 0)
        fail(path, errno);  // not named by the archive: its usual mode
    }
    if (!next) fail(path, errno);
    at = std::move(next);
  }
  return at;
}

int TreeWriter::parent_of_entry(const std::string& path, bool make) {
  const std::string parent = parent_within(path);
  if (parent.empty()) return root_.get();
  if (!last_fd_ || parent != last_parent_) {
    last_fd_ = open_below(parent, make);
    last_parent_ = parent;
  }
  return last_fd_.get();
}

// An earlier entry of the same path gives way to the later one.
void TreeWriter::make_way(int parent, const std::string& name, const std::string& path) {
  if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) fail(path, errno);
}

// Owner first: a change of it clears set-uid bits. The time last.
void TreeWriter::settle(int parent, const std::string& name, const ArchiveEntry& entry) {
  if (keep_owners_ &&
      ::fchownat(parent, name.c_str(), entry.owner.uid, entry.owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail(entry.path, errno);
  const mode_t mode = keep_owners_ ? entry.mode : entry.mode & 01777;
  if (entry.kind != 'l' && ::fchmodat(parent, name.c_str(), mode, 0) != 0) fail(entry.path, errno);
  struct timespec times[2];
  times[0] = times[1] = {entry.mtime_ns / 1000000000, entry.mtime_ns % 1000000000};
  if (entry.mtime_ns < 0 && times[0].tv_nsec < 0) {
    times[0] = times[1] = {entry.mtime_ns / 1000000000 - 1, entry.mtime_ns % 1000000000 + 1000000000};
  }
  if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) fail(entry.path, errno);
}

void TreeWriter::begin(const ArchiveEntry& entry) {
  if (entry.kind == 'o')
    throw Error(ErrorKind::refused, "cannot unpack", folder_ + "/" + entry.path,
                "it is a device, a fifo or a socket", "leave it out, or do not trust this archive");
  if (entry.path.empty()) {
    if (entry.kind != 'd') fail(entry.path, EISDIR);
    folders_[""] = entry;
    return;
  }
  const int parent = parent_of_entry(entry.path, true);
  const std::string name = name_within(entry.path);
  if (entry.kind == 'd') {
    if (::mkdirat(parent, name.c_str(), 0700) != 0) {
      struct stat info;
      if (errno != EEXIST || ::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
        fail(entry.path, errno);
      if (!S_ISDIR(info.st_mode)) fail(entry.path, ENOTDIR);
      // It may have its own mode already, which need not let anything in.
      if (goes_on_ && ::fchmodat(parent, name.c_str(), 0700, 0) != 0) fail(entry.path, errno);
    }
    folders_[entry.path] = entry;
    return;
  }
  if (entry.kind == 'l') {
    make_way(parent, name, entry.path);
    if (::symlinkat(entry.link.c_str(), parent, name.c_str()) != 0) fail(entry.path, errno);
    return settle(parent, name, entry);
  }
  if (entry.kind == 'h') {
    if (entry.link == entry.path) return;
    const Fd from = open_below(parent_within(entry.link), false);
    make_way(parent, name, entry.path);
    if (::linkat(from.get(), name_within(entry.link).c_str(), parent, name.c_str(), 0) != 0)
      fail(entry.path, errno);
    return;
  }
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  there_ = 0;
  file_fd_ = Fd(::openat(parent, name.c_str(), flags, 0600));
  if (!file_fd_ && errno == EEXIST) {
    if (replaces_) replaces_(entry.path);
    if (!open_to_go_on(parent, name)) {
      make_way(parent, name, entry.path);
      file_fd_ = Fd(::openat(parent, name.c_str(), flags, 0600));
    }
  }
  if (!file_fd_) fail(entry.path, errno);
  file_ = entry;
  file_parent_ = parent;
  written_ = 0;
}

// What an attempt before this one left of the file at hand: only a regular file that has no other name.
bool TreeWriter::open_to_go_on(int parent, const std::string& name) {
  if (!goes_on_) return false;
  Fd fd(::openat(parent, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) return false;
  file_fd_ = std::move(fd);
  there_ = static_cast<std::uint64_t>(info.st_size);
  return true;
}

void TreeWriter::drop_from(std::uint64_t at) {
  if (there_ <= at) return;
  if (::ftruncate(file_fd_.get(), static_cast<off_t>(at)) != 0) fail(file_.path, errno);
  there_ = at;
}

bool TreeWriter::has(const ArchiveEntry& entry) {
  struct stat info;
  try {
    const int parent = parent_of_entry(entry.path, false);
    const std::string name = name_within(entry.path);
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
        static_cast<std::uint64_t>(info.st_size) != entry.size ||
        info.st_mtim.tv_sec * std::int64_t{1000000000} + info.st_mtim.tv_nsec != entry.mtime_ns)
      return false;
    settle(parent, name, entry);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void TreeWriter::write(std::uint64_t at, std::string_view bytes) {
  if (at > written_) drop_from(written_);  // a hole
  if (at + bytes.size() <= there_) {
    was_.resize(bytes.size());
    const ssize_t got = ::pread(file_fd_.get(), was_.data(), was_.size(), static_cast<off_t>(at));
    if (got == static_cast<ssize_t>(bytes.size()) && was_ == bytes) {
      written_ = at + bytes.size();
      return;
    }
  }
  behind_.wrote(bytes.size());
  while (!bytes.empty()) {
    const ssize_t put = fails_at("sys:unpack")
                            ? -1
                            : ::pwrite(file_fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail(file_.path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
    at += static_cast<std::uint64_t>(put);
  }
  written_ = std::max(written_, at);
}

void TreeWriter::end() {
  drop_from(written_);
  if (written_ < file_.size &&
      ::ftruncate(file_fd_.get(), static_cast<off_t>(file_.size)) != 0)  // ends with a hole
    fail(file_.path, errno);
  if (::close(file_fd_.release()) != 0) fail(file_.path, errno);
  settle(file_parent_, name_within(file_.path), file_);
}

void TreeWriter::finish() {
  behind_.finish();
  for (auto one = folders_.rbegin(); one != folders_.rend(); ++one) {  // by path: children before parents
    const auto& [path, entry] = *one;
    if (path.empty()) {
      settle(root_.get(), ".", entry);
    } else {
      const Fd parent = open_below(parent_within(path), false);
      settle(parent.get(), name_within(path), entry);
    }
  }
}

}  // namespace relight::sys
