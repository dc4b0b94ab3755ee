// A small file system of its own at a folder, unmounted with the object.
#pragma once
#include <string>

namespace relight {

class Mounted {
 public:
  enum class Kind { tmpfs, ext4 };  // ext4: in an image of its own, so that it has a lost+found

  // The folder is made. `size` is a tmpfs's, as mount takes it.
  explicit Mounted(std::string folder, Kind kind = Kind::tmpfs, const std::string& size = "512m");
  ~Mounted();
  Mounted(const Mounted&) = delete;
  const std::string& path() const { return folder_; }
  void unmount();  // before its time

 private:
  std::string folder_;
  bool mounted_ = false;
};

}  // namespace relight
