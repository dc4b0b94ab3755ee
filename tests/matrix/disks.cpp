#include "tests/matrix/disks.h"

#include <sys/mount.h>

#include <cerrno>
#include <filesystem>

#include "runner/sys/error.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

constexpr const char* marks = "/var/lib/relight";

void run(std::vector<std::string> argv, const std::string& what) {
  sys::Command command;
  command.cwd = "/";
  command.argv = std::move(argv);
  sys::output_of(command, what);
}

void unmount(const std::string& folder) {
  // A process that was killed lets go of its files a moment later.
  sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(2), {},
                  [&] { return umount(folder.c_str()) == 0 || errno != EBUSY; });
}

}  // namespace

Disks::Disks() {
  for (const char* name : {"target", "state"}) {
    const std::string image = disk(name) + ".ext4";
    sys::write_file(image, "", 0600);
    std::filesystem::resize_file(image, 24 << 20);
    run({"/sbin/mkfs.ext4", "-q", "-b", "1024", "-J", "size=1", "-E",
         "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image},
        "cannot make a file system for a test");
    sys::make_folders(disk(name));
  }
  mount_all();
  sys::make_folders(disk("state/marks"));
  unmount_all();
  mount_all();
}

Disks::~Disks() {
  unmount_all();
}

// Nothing is written to the disk but by a sync: no commit of the file system's own every five seconds, and
// nothing in passing when a name is replaced.
void Disks::mount_all() {
  for (const char* name : {"target", "state"})
    run({"/bin/mount", "-o", "loop,commit=3600,noauto_da_alloc", disk(name) + ".ext4", disk(name)},
        "cannot mount a file system for a test");
  if (sys::exists(disk("state/marks")) &&
      mount(disk("state/marks").c_str(), marks, nullptr, MS_BIND, nullptr) != 0)
    throw system_error(errno, "cannot mount a folder for a test", marks);
}

void Disks::unmount_all() {
  if (sys::exists(disk("state/marks"))) unmount(marks);
  for (const char* name : {"state", "target"}) unmount(disk(name));
}

Place Disks::place() {
  return {disk("target/world"), disk("state/state"), {disk("target"), disk("state")}, [this] {
            unmount_all();
            mount_all();
          }};
}

}  // namespace relight
