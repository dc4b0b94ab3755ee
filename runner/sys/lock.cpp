// Locks and temporary folders of files.h.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::sys {

std::optional<FileLock> FileLock::try_lock(const std::string& path, bool shared) {
  while (true) {
    // Without O_CREAT where the file is there: fs.protected_regular refuses O_CREAT on another user's
    // file in a sticky folder. Read-only, so that other users can lock it too.
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno == ENOENT) {
      fd = Fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
      if (!fd && errno == EEXIST) continue;
      if (fd && ::fchmod(fd.get(), 0644) != 0) throw system_error(errno, "cannot lock", path);
    }
    if (!fd) throw system_error(errno, "cannot lock", path);
    if (::flock(fd.get(), (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::nullopt;
      throw system_error(errno, "cannot lock", path);
    }
    // The name may have been taken away, and made again by another, between the open and the lock.
    struct stat ours, named;
    if (::fstat(fd.get(), &ours) != 0) throw system_error(errno, "cannot lock", path);
    if (::stat(path.c_str(), &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev)
      return FileLock(std::move(fd));
  }
}

TempFolder::TempFolder(const std::string& parent) {
  std::string base = parent;
  if (base.empty()) {
    const char* named = std::getenv("TMPDIR");
    base = named != nullptr && *named != '\0' ? named : "/tmp";
  }
  path_ = base + "/relight-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr)
    throw system_error(errno, "cannot make a temporary folder in", base);
}

TempFolder::~TempFolder() {
  try {
    remove_tree(path_);
  } catch (const Error&) {
    // a destructor cannot tell; what stays is below the folder for temporary files
  }
}

}  // namespace relight::sys
