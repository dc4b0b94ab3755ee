// Markers: which tree is which, told by the tree itself.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/tree.h"

namespace relight::sys {
namespace {

constexpr const char* kAttribute = "user.relight";

std::string marker_file(const std::string& path) {
  return path + "/" + kMarkerFile;
}

bool no_attributes_here(int error_number) {
  return error_number == ENOTSUP || error_number == ENOSYS;
}

}  // namespace

bool is_set_apart(const std::string& name, bool in_mount_point) {
  return name == kMarkerFile || name.starts_with(".relight-") || (in_mount_point && name == "lost+found");
}

void set_marker(const std::string& path, const std::string& value) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot mark", path);
  if (fails_at("sys:mark") || ::fsetxattr(fd.get(), kAttribute, value.data(), value.size(), 0) != 0) {
    const int error_number = errno;
    if (!no_attributes_here(error_number)) throw system_error(error_number, "cannot mark", path);
    if (!is_folder(path))
      throw Error(ErrorKind::permanent, "cannot mark", path, "its file system has no extended attributes",
                  "put it on a file system with user attributes (ext4, xfs, btrfs)");
    return write_file(marker_file(path), value, 0600);
  }
  if (fails_at("sys:fsync") || ::fsync(fd.get()) != 0) throw system_error(errno, "cannot mark", path);
}

std::optional<std::string> marker(const std::string& path) {
  std::string value(4096, '\0');
  const ssize_t size = ::lgetxattr(path.c_str(), kAttribute, value.data(), value.size());
  if (size >= 0) {
    value.resize(static_cast<std::size_t>(size));
    return value;
  }
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  if (errno != ENODATA && !no_attributes_here(errno))
    throw system_error(errno, "cannot read the marker of", path);
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return std::nullopt;
  return read_file_if_there(marker_file(path));
}

void clear_marker(const std::string& path) {
  if (!exists(path)) return;
  if (fails_at("sys:unmark") || ::lremovexattr(path.c_str(), kAttribute) != 0) {
    if (errno != ENODATA && !no_attributes_here(errno)) throw system_error(errno, "cannot unmark", path);
  } else {
    sync_file(path);
  }
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) remove_file(marker_file(path));
}

}  // namespace relight::sys
