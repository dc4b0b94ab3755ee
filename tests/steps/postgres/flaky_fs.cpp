// A folder as an archive on a bad network shows it, by FUSE: flaky-fs FOLDER MOUNT DELAY_MS FAULTS
// Each read takes so long; the file FAULTS says how many of the next that begin a file fail. Runs until it is
// unmounted.
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>

namespace {

std::string folder, faults;
useconds_t delay;

std::string real(const char* path) {
  return folder + path;
}

int get_attributes(const char* path, struct stat* status, fuse_file_info*) {
  return lstat(real(path).c_str(), status) == 0 ? 0 : -errno;
}

int read_folder(const char* path, void* into, fuse_fill_dir_t fill, off_t, fuse_file_info*,
                fuse_readdir_flags) {
  DIR* const names = opendir(real(path).c_str());
  if (names == nullptr) return -errno;
  while (const dirent* const entry = readdir(names))
    fill(into, entry->d_name, nullptr, 0, fuse_fill_dir_flags());
  closedir(names);
  return 0;
}

bool fails() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  int left = 0;
  if (!(std::ifstream(faults) >> left) || left <= 0) return false;
  std::ofstream(faults) << left - 1;
  return true;
}

int open_file(const char* path, fuse_file_info* info) {
  const int file = open(real(path).c_str(), info->flags);
  if (file < 0) return -errno;
  info->fh = static_cast<std::uint64_t>(file);
  info->direct_io = 1;  // every read comes here
  return 0;
}

int read_file(const char*, char* into, std::size_t size, off_t at, fuse_file_info* info) {
  usleep(delay);
  if (at == 0 && fails()) return -EIO;
  const ssize_t got = pread(static_cast<int>(info->fh), into, size, at);
  return got < 0 ? -errno : static_cast<int>(got);
}

int close_file(const char*, fuse_file_info* info) {
  return close(static_cast<int>(info->fh));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  folder = argv[1];
  delay = static_cast<useconds_t>(std::atoi(argv[3])) * 1000;
  faults = argv[4];
  fuse_operations operations{};
  operations.getattr = get_attributes;
  operations.readdir = read_folder;
  operations.open = open_file;
  operations.read = read_file;
  operations.release = close_file;
  const char* args[] = {argv[0], "-f", "-o", "allow_other,default_permissions", argv[2]};
  return fuse_main(5, const_cast<char**>(args), &operations, nullptr);
}
