#include "examples/ember/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "examples/ember/crypto.h"

namespace ember {
namespace {

struct Opened {
  explicit Opened(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd < 0 || ::fstat(fd, &status) != 0)
      throw std::runtime_error("cannot read " + path + ": " + std::strerror(errno));
  }
  ~Opened() { ::close(fd); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  int fd;
  struct stat status {};
};

}  // namespace

void Archive::must(int result, const std::string& on) const {
  if (result == ARCHIVE_OK) return;
  const char* why = archive_error_string(archive_);
  throw std::runtime_error("cannot write " + path_ + ": " + on + ": " + (why ? why : "unknown error"));
}

Archive::Archive(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd_ < 0) throw std::runtime_error("cannot make " + path + ": " + std::strerror(errno));
  archive_ = archive_write_new();
  must(archive_write_set_format_pax_restricted(archive_), "pax");
  must(archive_write_add_filter_zstd(archive_), "zstd");
  must(archive_write_open_fd(archive_, fd_), "open");
}

Archive::~Archive() {
  archive_write_free(archive_);
  ::close(fd_);
}

std::string Archive::add(const std::string& name, const std::string& file) {
  Opened from(file);
  std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                      archive_entry_free);
  archive_entry_copy_stat(entry.get(), &from.status);
  archive_entry_set_pathname(entry.get(), name.c_str());
  must(archive_write_header(archive_, entry.get()), name);
  Sha256 hash;
  std::vector<char> buffer(1u << 20);
  std::int64_t left = from.status.st_size;
  while (left > 0) {
    ssize_t got = ::read(from.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::runtime_error("cannot read " + file + ": " + std::strerror(errno));
    if (got == 0 || got > left) throw std::runtime_error(file + " changed while it was read");
    if (archive_write_data(archive_, buffer.data(), static_cast<std::size_t>(got)) != got)
      must(ARCHIVE_FATAL, name);
    hash.add({buffer.data(), static_cast<std::size_t>(got)});
    left -= got;
  }
  return hash.hex();
}

void Archive::finish() {
  must(archive_write_close(archive_), "close");
  if (::fsync(fd_) != 0) throw std::runtime_error("cannot sync " + path_ + ": " + std::strerror(errno));
}

}  // namespace ember
