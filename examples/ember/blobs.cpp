#include "examples/ember/blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "examples/ember/crypto.h"

namespace ember {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::runtime_error(what + " " + path + ": " + std::strerror(errno));
}

void sync_path(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open", path);
  int result = ::fsync(fd);
  ::close(fd);
  if (result != 0) fail("cannot sync", path);
}

void write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write", path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string Blobs::path(const std::string& sha256) const {
  return sha256.substr(0, 2) + "/" + sha256;
}

std::string Blobs::put(std::string_view bytes) const {
  std::string sha256 = sha256_hex(bytes);
  std::string shelf = folder_ + "/" + sha256.substr(0, 2), target = folder_ + "/" + path(sha256);
  if (std::filesystem::exists(target)) return sha256;
  if (::mkdir(shelf.c_str(), 0750) == 0)
    sync_path(folder_);
  else if (errno != EEXIST)
    fail("cannot make", shelf);

  std::string temporary = shelf + "/.new-XXXXXX";
  int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) fail("cannot make", temporary);
  try {
    write_all(fd, bytes, temporary);
    if (::fchmod(fd, 0640) != 0 || ::fsync(fd) != 0) fail("cannot sync", temporary);
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail("cannot rename", temporary);
  } catch (...) {
    ::close(fd);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(fd);
  sync_path(shelf);
  return sha256;
}

std::string Blobs::get(const std::string& sha256) const {
  std::string from = folder_ + "/" + path(sha256);
  std::ifstream file(from, std::ios::binary);
  if (!file) fail("cannot read", from);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  std::string out = std::move(bytes).str();
  if (sha256_hex(out) != sha256) throw std::runtime_error(from + ": its bytes are not those of its name");
  return out;
}

void Blobs::probe() const {
  if (::access(folder_.c_str(), R_OK | W_OK | X_OK) != 0) fail("cannot use", folder_);
}

}  // namespace ember
