#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

using namespace relight::sys;

TEST_CASE("a marker is set, read, replaced and cleared, and goes with a rename") {
  TempFolder folder;
  const std::string tree = folder.path() + "/tree", file = folder.path() + "/file";
  make_folders(tree);
  write_file(file, "x", 0400);
  for (const std::string& path : {tree, file}) {
    CAPTURE(path);
    CHECK_FALSE(marker(path));
    clear_marker(path);
    set_marker(path, "first");
    set_marker(path, "run step");
    CHECK(marker(path) == "run step");
    CHECK_FALSE(exists(path + "/.relight"));
    rename_new(path, path + "2");
    CHECK(marker(path + "2") == "run step");
    clear_marker(path + "2");
    CHECK_FALSE(marker(path + "2"));
  }
  CHECK_FALSE(marker(folder.path() + "/none"));
  clear_marker(folder.path() + "/none");
  REQUIRE(::symlink(tree.c_str(), (folder.path() + "/link").c_str()) == 0);
  CHECK_FALSE(marker(folder.path() + "/link"));
  CHECK_THROWS_AS(set_marker(folder.path() + "/link", "x"), relight::Error);
}

TEST_CASE("without extended attributes a folder's marker is a file in it, and no part of its state") {
  TempFolder folder;
  REQUIRE(::mount("none", folder.path().c_str(), "ramfs", 0, nullptr) == 0);
  const std::string tree = folder.path() + "/tree";
  make_folders(tree);
  write_file(tree + "/a", "a", 0600);
  const std::string before = tree_digest(tree);
  set_marker(tree, "run step");
  CHECK(read_file(tree + "/.relight") == "run step");
  CHECK(marker(tree) == "run step");
  CHECK(tree_digest(tree) == before);
  copy_tree(tree, folder.path() + "/copy");
  CHECK_FALSE(marker(folder.path() + "/copy"));
  clear_marker(tree);
  CHECK_FALSE(marker(tree));
  CHECK_FALSE(exists(tree + "/.relight"));
  CHECK_THROWS_AS(set_marker(tree + "/a", "x"), relight::Error);
  REQUIRE(::umount2(folder.path().c_str(), MNT_DETACH) == 0);
}
