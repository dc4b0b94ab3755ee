#include "runner/journal/file.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

using namespace relight;

namespace {

struct stat status_of(const std::string& path) {
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status;
}

// A small file system of its own.
struct Mounted {
  Mounted(const char* kind, const char* options) {
    REQUIRE(::mount("none", folder.path().c_str(), kind, 0, options) == 0);
  }
  ~Mounted() { ::umount2(folder.path().c_str(), MNT_DETACH); }
  std::string journal() const { return folder.path() + "/journal"; }
  sys::TempFolder folder;
};

}  // namespace

TEST_CASE("the file is made for its owner only, and appended to when it is there") {
  sys::TempFolder folder;
  std::string path = folder.path() + "/journal";
  open_journal_file(path)->append("one\n");
  CHECK((status_of(path).st_mode & 07777) == 0600);
  auto file = open_journal_file(path);
  file->append("two\n");
  file->sync();
  CHECK(sys::read_file(path) == "one\ntwo\n");
  CHECK_THROWS_AS(open_journal_file(folder.path() + "/absent/journal"), Error);
}

TEST_CASE("room is taken without a change of length, and what is not used is given back") {
  Mounted system("tmpfs", "size=8m");
  {
    auto file = open_journal_file(system.journal());
    file->append("one\n");
    file->reserve(100'000);
    CHECK(status_of(system.journal()).st_size == 4);
    CHECK(status_of(system.journal()).st_blocks * 512 >= 100'000);
    file->append("two\n");
  }
  CHECK(sys::read_file(system.journal()) == "one\ntwo\n");
  CHECK(status_of(system.journal()).st_blocks * 512 <= 4096);
}

TEST_CASE("a full disk is told when room is asked for, and what was reserved can still be written") {
  Mounted system("tmpfs", "size=256k");
  auto file = open_journal_file(system.journal());
  file->reserve(100'000);  // less than the chunk that is taken where there is plenty
  try {
    file->reserve(300'000);
    FAIL("room on a full disk");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) ==
          "cannot reserve room for the journal: " + system.journal() + ": No space left on device");
    CHECK(error.hint == "free space on the file system of " + system.journal() + ", then `relight resume`");
  }
  auto filler = open_journal_file(system.folder.path() + "/filler");
  CHECK_THROWS_AS(filler->append(std::string(300'000, 'x')), Error);
  file->append(std::string(100'000, 'j'));
  file->sync();
  CHECK(status_of(system.journal()).st_size == 100'000);
}

TEST_CASE("a file system that cannot reserve is asked for what is free") {
  Mounted system("ramfs", "");
  auto file = open_journal_file(system.journal());
  file->reserve(100'000);
  file->append("one\n");
  CHECK(status_of(system.journal()).st_size == 4);
}

TEST_CASE("a failed write is not an error that passes") {
  auto file = open_journal_file("/dev/full");
  try {
    file->append("one\n");
    FAIL("written to a full device");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "cannot write to the journal: /dev/full: No space left on device");
    CHECK(error.kind == ErrorKind::permanent);
    CHECK_FALSE(error.hint.empty());
  }
}
