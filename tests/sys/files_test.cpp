#include "runner/sys/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/sys/error.h"

using namespace relight;
using namespace relight::sys;

namespace {
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}
}  // namespace

TEST_CASE("reading: a limit, /proc, what is not there") {
  TempFolder folder;
  const std::string path = folder.path() + "/a";
  write_file(path, "0123456789", 0600);
  CHECK(read_file(path) == "0123456789");
  CHECK(read_file(path, 10) == "0123456789");
  CHECK(error_of([&] { read_file(path, 9); }) == "cannot read: " + path + ": it is larger than 9 B");
  CHECK_FALSE(read_file("/proc/self/stat").empty());
  CHECK(error_of([&] { read_file("/proc/self/maps", 100); }) ==
        "cannot read: /proc/self/maps: it is larger than 100 B");
  CHECK(error_of([&] { read_file(path + "x"); }) == "cannot read: " + path + "x: No such file or directory");
  CHECK_FALSE(read_file_if_there(path + "x"));
  CHECK_FALSE(read_file_if_there(path + "/under/a/file"));
  CHECK(read_file_if_there(path) == "0123456789");
}

TEST_CASE("writing replaces whole: mode, owner, no rest, and the old stays on failure") {
  TempFolder folder;
  const std::string path = folder.path() + "/a";
  write_file(path, "old", 0644);
  write_file(folder.path() + "/.a.tmp", "left by a crash", 0444);
  write_file(path, "new", 0640, Owner{1, 2});
  struct stat info;
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
  CHECK(info.st_uid == 1);
  CHECK(info.st_gid == 2);
  CHECK(read_file(path) == "new");
  CHECK_FALSE(exists(folder.path() + "/.a.tmp"));

  make_folders(folder.path() + "/b/c");
  CHECK(error_of([&] { write_file(folder.path() + "/b", "over a folder", 0600); }) ==
        "cannot write: " + folder.path() + "/b: Is a directory");
  CHECK_FALSE(exists(folder.path() + "/.b.tmp"));

  // A link is replaced, never written through.
  REQUIRE(::symlink(path.c_str(), (folder.path() + "/link").c_str()) == 0);
  write_file(folder.path() + "/link", "own", 0600);
  CHECK(read_file(path) == "new");
}

TEST_CASE("a write that fails in the middle leaves the old file and nothing beside") {
  TempFolder folder;
  REQUIRE(::mount("none", folder.path().c_str(), "tmpfs", 0, "size=64k") == 0);
  const std::string path = folder.path() + "/a";
  write_file(path, "old", 0600);
  CHECK(error_of([&] { write_file(path, std::string(1 << 20, 'x'), 0600); }) ==
        "cannot write: " + path + ": No space left on device");
  CHECK(read_file(path) == "old");
  CHECK_FALSE(exists(folder.path() + "/.a.tmp"));
  CHECK(free_bytes(path) <= 65536);
  REQUIRE(::umount2(folder.path().c_str(), MNT_DETACH) == 0);
}

TEST_CASE("folders are made with their parents and the mode asked, whatever the umask") {
  TempFolder folder;
  const mode_t before = ::umask(077);
  make_folders(folder.path() + "/a/b", 0755);
  ::umask(before);
  struct stat info;
  for (const char* name : {"/a", "/a/b"}) {
    REQUIRE(::stat((folder.path() + name).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0755);
  }
  make_folders(folder.path() + "/a/b");
  write_file(folder.path() + "/file", "", 0600);
  CHECK(error_of([&] { make_folders(folder.path() + "/file/x"); }) ==
        "cannot make the folder: " + folder.path() + "/file: File exists");
}

TEST_CASE("rename and exchange") {
  TempFolder folder;
  const std::string a = folder.path() + "/a", b = folder.path() + "/b";
  write_file(a, "a", 0600);
  make_folders(b);
  exchange(a, b);
  CHECK(is_folder(a));
  CHECK(read_file(b) == "a");
  CHECK(error_of([&] { rename_new(b, a); }) == "cannot rename: " + b + " -> " + a + ": File exists");
  rename_new(b, folder.path() + "/c");
  CHECK(error_of([&] { exchange(a, b); }) ==
        "cannot exchange: " + a + " -> " + b + ": No such file or directory");
  write_file(b, "b", 0600);
  rename_durably(folder.path() + "/c", b);
  CHECK(read_file(b) == "a");
}

TEST_CASE("what cannot be exchanged is told") {
  TempFolder folder;
  const std::string mounted = folder.path() + "/mounted";
  make_folders(mounted);
  std::string why;
  CHECK(can_exchange(mounted, &why));
  CHECK(can_exchange(folder.path() + "/absent", nullptr));
  REQUIRE(::mount("none", mounted.c_str(), "tmpfs", 0, "size=64k") == 0);
  CHECK_FALSE(can_exchange(mounted, &why));
  CHECK(why == mounted + " is a mount point");
  CHECK(can_exchange(mounted + "/below", nullptr));

  // A folder of an overlay's lower layer: what can_exchange says is what the kernel does.
  for (const char* name : {"/lower/old", "/upper", "/work", "/merged"}) make_folders(mounted + name);
  const std::string options =
      "lowerdir=" + mounted + "/lower,upperdir=" + mounted + "/upper,workdir=" + mounted + "/work";
  if (::mount("overlay", (mounted + "/merged").c_str(), "overlay", 0, options.c_str()) == 0) {
    const std::string old = mounted + "/merged/old";
    CHECK_FALSE(can_exchange(old, &why));
    CHECK(why == old + " is a folder of an overlay file system, which may be unable to rename it");
    make_folders(mounted + "/merged/new");
    CHECK(error_of([&] { relight::sys::exchange(old, mounted + "/merged/new"); }) ==
          "cannot exchange: " + old + " -> " + mounted + "/merged/new: Invalid cross-device link");
    REQUIRE(::umount2((mounted + "/merged").c_str(), MNT_DETACH) == 0);
  } else {
    MESSAGE("no overlay file system here: its part was left out");
  }
  REQUIRE(::umount2(mounted.c_str(), MNT_DETACH) == 0);
}

TEST_CASE("removing a file or nothing") {
  TempFolder folder;
  write_file(folder.path() + "/a", "", 0600);
  remove_file(folder.path() + "/a");
  remove_file(folder.path() + "/a");
  CHECK_FALSE(exists(folder.path() + "/a"));
  REQUIRE(::symlink("/nowhere", (folder.path() + "/dangling").c_str()) == 0);
  CHECK(exists(folder.path() + "/dangling"));
}

TEST_CASE("free space and device are those of the nearest parent that is there") {
  TempFolder folder;
  CHECK(free_bytes(folder.path() + "/not/yet") > 0);
  CHECK(device_of(folder.path() + "/not/yet") == device_of(folder.path()));
  CHECK(device_of("/proc/none") != device_of(folder.path()));
}

TEST_CASE("paths by their text") {
  struct {
    const char *path, *parent, *name;
  } const cases[] = {
      {"/a/b", "/a", "b"}, {"/a/b/", "/a", "b"}, {"/a", "/", "a"},       {"/", "/", "/"},
      {"a", ".", "a"},     {"a/b", "a", "b"},    {"//a//b", "//a", "b"}, {"", ".", ""},
  };
  for (const auto& one : cases) {
    CAPTURE(one.path);
    CHECK(parent_of(one.path) == one.parent);
    CHECK(name_of_path(one.path) == one.name);
  }
  CHECK(absolute("/a/./b//../c/") == "/a/c");
  CHECK(absolute("/../..") == "/");
  CHECK(absolute("x").ends_with("/x"));
  CHECK(absolute("x").starts_with("/"));
}
