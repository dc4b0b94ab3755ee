#include "tests/support/mounted.h"

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <filesystem>

#include "runner/sys/files.h"
#include "runner/sys/process.h"

namespace relight {

Mounted::Mounted(std::string folder, Kind kind, const std::string& size) : folder_(std::move(folder)) {
  sys::make_folders(folder_);
  if (kind == Kind::tmpfs) {
    REQUIRE(::mount("none", folder_.c_str(), "tmpfs", 0, ("size=" + size + ",mode=0755").c_str()) == 0);
  } else {
    // Its bytes change when the kernel likes; nobody but the mount sees it.
    const sys::TempFolder beside(sys::parent_of(folder_));
    const std::string image = beside.path() + "/image";
    sys::write_file(image, "", 0600);
    std::filesystem::resize_file(image, 16 << 20);
    sys::Command command;
    command.cwd = "/";
    command.argv = {"/sbin/mkfs.ext4", "-q", image};
    sys::output_of(command, "cannot make a file system for a test");
    command.argv = {"/bin/mount", "-o", "loop", image, folder_};
    sys::output_of(command, "cannot mount a file system for a test");
  }
  mounted_ = true;
}

Mounted::~Mounted() {
  unmount();
}

void Mounted::unmount() {
  if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  mounted_ = false;
}

}  // namespace relight
