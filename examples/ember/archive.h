// Writing a tar.zst, by libarchive.
#pragma once
#include <cstdint>
#include <string>

struct archive;

namespace ember {

class Archive {
 public:
  explicit Archive(const std::string& path);  // made anew, 0640
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // Adds a regular file under a relative name and returns the SHA-256 of the bytes that were written.
  std::string add(const std::string& name, const std::string& file);
  void finish();  // on disk and synced; without it the archive is not whole

 private:
  void must(int result, const std::string& on) const;
  std::string path_;
  int fd_ = -1;
  struct archive* archive_ = nullptr;
};

}  // namespace ember
