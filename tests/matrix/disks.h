// Two small disks, of the target and of relight's own state, whose power can be cut: what was not synced is
// lost.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "tests/matrix/case.h"

namespace relight {

class Disks {
 public:
  // Throws Error where there can be none.
  Disks();
  ~Disks();
  Disks(const Disks&) = delete;

  // The state's disk holds /var/lib/relight, too. To be used in mounts of our own.
  Place place();

 private:
  void mount_all();
  void unmount_all();
  std::string disk(const std::string& name) const { return folder_.path() + "/" + name; }

  sys::TempFolder folder_;
};

}  // namespace relight
