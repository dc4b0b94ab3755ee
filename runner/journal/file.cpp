#include "runner/journal/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"

namespace relight {
namespace {

constexpr std::uint64_t chunk = 1u << 20;  // room is taken by the chunk: one call for hundreds of records

// Never transient: after a failed write or sync nothing tells what the disk holds.
Error dead(const char* what, const std::string& path) {
  return Error(ErrorKind::permanent, what, path, std::strerror(errno),
               "nothing further was started; mend the disk or free space on it, then `relight resume`");
}

class RealFile : public JournalFile {
 public:
  explicit RealFile(const std::string& path)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    if (!fd_) throw system_error(errno, "cannot open the journal", path);
    struct stat status;
    if (::fstat(fd_.get(), &status) != 0) throw system_error(errno, "cannot open the journal", path);
    end_ = room_end_ = static_cast<std::uint64_t>(status.st_size);
    // Also when it was there: the process that made it may have died before its own sync.
    sys::sync_folder(sys::parent_of(path));
  }

  // Frees the blocks past the end. Where that fails they stay until the file is removed: no loss.
  ~RealFile() override {
    struct stat status;
    if (room_end_ > end_ && whole_ && ::fstat(fd_.get(), &status) == 0)
      (void)!::ftruncate(fd_.get(), status.st_size);
  }

  void append(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t written = fails_at("journal:append") ? -1 : ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        whole_ = false;
        throw dead("cannot write to the journal", path_);
      }
      end_ += static_cast<std::uint64_t>(written);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void sync() override {
    // Not repeated after any error: the kernel has dropped the pages, and a second sync would say that all is
    // well.
    if (fails_at("journal:sync") || ::fdatasync(fd_.get()) != 0) {
      whole_ = false;
      throw dead("cannot sync the journal", path_);
    }
  }

  void reserve(std::uint64_t bytes_ahead) override {
    if (end_ + bytes_ahead <= room_end_) return;
    if (allocate(bytes_ahead + chunk) || ((errno == ENOSPC || errno == EDQUOT) && allocate(bytes_ahead)))
      return;
    if (errno == EOPNOTSUPP && enough_is_free(bytes_ahead)) return;
    throw system_error(errno, "cannot reserve room for the journal", path_,
                       "free space on the file system of " + path_ + ", then `relight resume`");
  }

 private:
  bool allocate(std::uint64_t bytes) {
    int failed;
    do
      failed =
          ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end_), static_cast<off_t>(bytes));
    while (failed != 0 && errno == EINTR);
    if (failed == 0) room_end_ = end_ + bytes;
    return failed == 0;
  }

  // The file system cannot reserve: the best that is left is to look. False leaves ENOSPC in errno.
  bool enough_is_free(std::uint64_t bytes) {
    struct statvfs system;
    if (::fstatvfs(fd_.get(), &system) != 0) return false;
    if (system.f_blocks == 0) return true;  // it does not tell (ramfs)
    std::uint64_t blocks = ::geteuid() == 0 ? system.f_bfree : system.f_bavail;
    if (blocks * system.f_frsize >= bytes) return true;
    errno = ENOSPC;
    return false;
  }

  std::string path_;
  sys::Fd fd_;
  std::uint64_t end_ = 0;       // of the file, as far as this object has written it
  std::uint64_t room_end_ = 0;  // up to where blocks are ours
  bool whole_ = true;           // no write or sync has failed
};

}  // namespace

std::unique_ptr<JournalFile> open_journal_file(const std::string& path) {
  return std::make_unique<RealFile>(path);
}

}  // namespace relight
