#include "runner/sys/tree.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "runner/sys/error.h"

using namespace relight;
using namespace relight::sys;

namespace {

// One of each: modes, owners, a hard link, links, a fifo, attributes, a hole, an empty folder.
void make_sample(const std::string& root) {
  make_folders(root + "/sub/empty", 0750);
  write_file(root + "/a", "bytes of a", 0640, Owner{1, 2});
  write_file(root + "/sub/b", std::string(300000, 'b'), 04755);
  REQUIRE(::link((root + "/a").c_str(), (root + "/sub/a2").c_str()) == 0);
  REQUIRE(::symlink("../a", (root + "/sub/link").c_str()) == 0);
  REQUIRE(::symlink("/nowhere", (root + "/dangling").c_str()) == 0);
  REQUIRE(::mkfifo((root + "/fifo").c_str(), 0600) == 0);
  REQUIRE(::setxattr((root + "/a").c_str(), "user.note", "kept", 4, 0) == 0);
  Fd hole(::open((root + "/hole").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::ftruncate(hole.get(), 64 << 20) == 0);
  REQUIRE(::pwrite(hole.get(), "middle", 6, 32 << 20) == 6);
  const struct timespec times[2] = {{1000000000, 5}, {1000000001, 7}};
  REQUIRE(::utimensat(AT_FDCWD, (root + "/a").c_str(), times, 0) == 0);
  REQUIRE(::utimensat(AT_FDCWD, (root + "/sub").c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("a walk: sorted, parents first, links not followed") {
  TempFolder folder;
  make_sample(folder.path());
  std::string seen;
  walk(folder.path(), [&](const Entry& entry) {
    seen += entry.path + " " + entry.kind + (entry.link.empty() ? "" : " " + entry.link) + "\n";
  });
  CHECK(seen ==
        "a f\ndangling l /nowhere\nfifo o\nhole f\nsub d\nsub/a2 f\nsub/b f\nsub/empty d\nsub/link l ../a\n");
  CHECK_THROWS_AS(walk(folder.path() + "/none", [](const Entry&) {}), Error);
}

TEST_CASE("a copy is the same tree: digest, hard links, holes, times of folders") {
  TempFolder folder;
  const std::string from = folder.path() + "/from", to = folder.path() + "/to";
  make_folders(from);
  make_sample(from);
  set_marker(from, "marked");
  copy_tree(from, to);
  CHECK(tree_digest(from) == tree_digest(to));
  CHECK_FALSE(marker(to));
  struct stat a, a2, sub, hole;
  REQUIRE(::stat((to + "/a").c_str(), &a) == 0);
  REQUIRE(::stat((to + "/sub/a2").c_str(), &a2) == 0);
  REQUIRE(::stat((to + "/sub").c_str(), &sub) == 0);
  REQUIRE(::stat((to + "/hole").c_str(), &hole) == 0);
  CHECK(a.st_ino == a2.st_ino);
  CHECK(a.st_uid == 1);
  CHECK(sub.st_mtim.tv_sec == 1000000001);
  CHECK(sub.st_mtim.tv_nsec == 7);
  CHECK(hole.st_blocks * 512 < (1 << 20));
  CHECK_THROWS_AS(copy_tree(from, to), Error);  // something is there

  copy_tree(from + "/a", folder.path() + "/one");
  CHECK(tree_digest(from + "/a") == tree_digest(folder.path() + "/one"));
  copy_tree(from + "/dangling", folder.path() + "/link");
  CHECK(tree_digest(from + "/dangling") == tree_digest(folder.path() + "/link"));
}

TEST_CASE("a copy that fails leaves nothing") {
  TempFolder folder;
  const std::string from = folder.path() + "/from", small = folder.path() + "/small";
  make_folders(from);
  make_folders(small);
  write_file(from + "/a", "a", 0600);
  write_file(from + "/large", std::string(1 << 20, 'x'), 0600);
  REQUIRE(::mount("none", small.c_str(), "tmpfs", 0, "size=256k") == 0);
  try {
    copy_tree(from, small + "/to");
    FAIL("copied");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) ==
          "cannot copy: " + from + "/large -> " + small + "/to/large: No space left on device");
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.hint == "make room there first");
  }
  CHECK_FALSE(exists(small + "/to"));
  REQUIRE(::umount2(small.c_str(), MNT_DETACH) == 0);
}

TEST_CASE("the digest sees every change of state, and nothing else") {
  TempFolder folder;
  const std::string root = folder.path() + "/t";
  CHECK(tree_digest(root) == "absent");
  make_folders(root);
  make_sample(root);
  const auto after = [&](const std::function<void()>& change) {
    change();
    return tree_digest(root);
  };
  std::set<std::string> seen{tree_digest(root)};
  const auto touch = [&](const std::string& path) {
    const struct timespec times[2] = {{1000000000, 5}, {1000000001, 7}};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  };
  // No state: markers, and the time of a folder.
  CHECK(after([&] { set_marker(root, "run step"); }) == *seen.begin());
  CHECK(after([&] { write_file(root + "/.relight", "x", 0600); }) == *seen.begin());
  CHECK(after([&] { clear_marker(root); }) == *seen.begin());
  CHECK_FALSE(exists(root + "/.relight"));
  CHECK(after([&] { touch(root + "/sub/empty"); }) == *seen.begin());
  // State.
  const std::string a = root + "/a";
  CHECK(seen.insert(after([&] {
              write_file(a, "bytes of A", 0640, Owner{1, 2});
              touch(a);
            }))
            .second);
  CHECK(seen.insert(after([&] { REQUIRE(::chmod(a.c_str(), 0600) == 0); })).second);
  CHECK(seen.insert(after([&] { REQUIRE(::chown(a.c_str(), 3, 2) == 0); })).second);
  CHECK(seen.insert(after([&] { REQUIRE(::setxattr(a.c_str(), "user.note", "other", 5, 0) == 0); })).second);
  CHECK(seen.insert(after([&] { touch(root + "/sub/b"); })).second);
  CHECK(seen.insert(after([&] { REQUIRE(::rename(a.c_str(), (root + "/A").c_str()) == 0); })).second);
  CHECK(seen.insert(after([&] { REQUIRE(::chmod((root + "/sub/empty").c_str(), 0700) == 0); })).second);
  CHECK(seen.insert(after([&] { remove_tree(root + "/sub/empty"); })).second);
  CHECK(seen.insert(after([&] {
              REQUIRE(::unlink((root + "/dangling").c_str()) == 0);
              REQUIRE(::symlink("/nowhere2", (root + "/dangling").c_str()) == 0);
            }))
            .second);
  CHECK(seen.insert(after([&] { REQUIRE(::chmod(root.c_str(), 0711) == 0); })).second);
  write_file(root + "/sub/.relight", "a file like any other", 0600);
  CHECK(seen.insert(tree_digest(root)).second);
}

TEST_CASE("bytes on disk: holes are free, hard links count once") {
  TempFolder folder;
  make_sample(folder.path());
  const std::uint64_t bytes = tree_bytes(folder.path());
  CHECK(bytes >= 300000);
  CHECK(bytes < 1 << 20);
  const std::uint64_t file = tree_bytes(folder.path() + "/sub/b");
  REQUIRE(::link((folder.path() + "/sub/b").c_str(), (folder.path() + "/sub/b2").c_str()) == 0);
  CHECK(tree_bytes(folder.path()) == bytes);
  CHECK(file >= 300000);
}

TEST_CASE("removing a tree: links are not followed, closed folders are opened, a mount is refused whole") {
  TempFolder folder;
  const std::string root = folder.path() + "/t", other = folder.path() + "/other";
  make_folders(root + "/closed/in", 0755);
  make_folders(other);
  write_file(other + "/kept", "", 0600);
  REQUIRE(::symlink(other.c_str(), (root + "/link").c_str()) == 0);
  REQUIRE(::chmod((root + "/closed").c_str(), 0) == 0);
  make_folders(root + "/mounted");
  write_file(root + "/first", "", 0600);
  REQUIRE(::mount("none", (root + "/mounted").c_str(), "tmpfs", 0, "size=64k") == 0);
  for (const std::string& path : {root, root + "/mounted"}) {
    try {
      remove_tree(path);
      FAIL("removed");
    } catch (const Error& error) {
      CHECK(std::string(error.what()) == "cannot remove: " + path + ": " +
                                             (path == root ? root + "/mounted is" : "it is") +
                                             " a mount point");
    }
  }
  CHECK(exists(root + "/first"));
  REQUIRE(::umount2((root + "/mounted").c_str(), MNT_DETACH) == 0);
  remove_tree(root);
  CHECK_FALSE(exists(root));
  CHECK(exists(other + "/kept"));
  remove_tree(root);
  REQUIRE(::symlink(other.c_str(), root.c_str()) == 0);
  remove_tree(root);
  CHECK_FALSE(exists(root));
  CHECK(exists(other + "/kept"));
}
