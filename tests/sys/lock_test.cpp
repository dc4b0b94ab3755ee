#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

using namespace relight::sys;

TEST_CASE("a lock keeps others out until it is gone") {
  TempFolder folder;
  const std::string path = folder.path() + "/lock";
  auto lock = FileLock::try_lock(path);
  REQUIRE(lock);
  CHECK_FALSE(FileLock::try_lock(path));
  CHECK_FALSE(FileLock::try_lock(path, true));
  lock.reset();
  auto shared = FileLock::try_lock(path, true);
  CHECK(FileLock::try_lock(path, true));
  CHECK_FALSE(FileLock::try_lock(path));
}

TEST_CASE("a lock lives as long as the last process that inherited it") {
  TempFolder folder;
  const std::string path = folder.path() + "/lock";
  auto lock = FileLock::try_lock(path);
  REQUIRE(lock);
  int release[2];
  REQUIRE(::pipe(release) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(release[1]);
    char byte;
    (void)!::read(release[0], &byte, 1);
    ::_exit(0);
  }
  lock.reset();
  CHECK_FALSE(FileLock::try_lock(path));
  ::close(release[0]);
  ::close(release[1]);
  ::waitpid(child, nullptr, 0);
  CHECK(FileLock::try_lock(path));
}

TEST_CASE("a lock in a folder for all is lockable by other users") {
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 01777) == 0);
  const std::string path = folder.path() + "/lock";
  const mode_t before = ::umask(077);
  CHECK(FileLock::try_lock(path));
  ::umask(before);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    bool got = false;
    try {
      got = FileLock::try_lock(path).has_value();
    } catch (const relight::Error&) {
      ::_exit(3);
    }
    ::_exit(got ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a lock never follows a link") {
  TempFolder folder;
  REQUIRE(::symlink("/etc/passwd", (folder.path() + "/lock").c_str()) == 0);
  CHECK_THROWS_AS(FileLock::try_lock(folder.path() + "/lock"), relight::Error);
}

TEST_CASE("a temporary folder is gone with its object") {
  std::string path;
  {
    TempFolder folder;
    path = folder.path();
    write_file(path + "/a", "", 0600);
    CHECK(is_folder(path));
  }
  CHECK_FALSE(exists(path));
}
