// Where things lie: a state folder on another file system than the target, a target that cannot be written to
// by anybody, and two relights that want the same.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "runner/sys/json_whole.h"
#include "tests/support/archive.h"
#include "tests/support/kill.h"
#include "tests/support/mounted.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

constexpr const char* in_flight = "touch flying; while [ ! -e go ]; do sleep 0.01; done; ";

struct Places : Bench {
  Places() {
    sys::make_folders(file("backup/blobs"));
    for (int i = 0; i < 5; ++i) write("backup/blobs/" + std::to_string(i), noise(2000));
    write("backup/file", "new\n");
  }
  std::vector<std::string> dir() const { return {"--set", "dir=" + path()}; }
};

bool set_immutable(const std::string& path, bool on) {
  const sys::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (!fd || ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return false;
  flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

// Every step here that would write there.
const char* const book = R"(
host.directory "folder" { path = input.dir / "there/made" }
host.file "file" { from = input.dir / "backup/file", into = input.dir / "there/file" }
blobs.restore "blobs" { from = input.dir / "backup/blobs", into = input.dir / "there/blobs" }
)";

}  // namespace

TEST_CASE("the state folder may lie on another file system than the target") {
  Places bench;
  const Mounted memory(bench.file("memory"));
  SUBCASE("the state in memory") {
    bench.state = "memory/state";
    sys::make_folders(bench.file("there"));
  }
  SUBCASE("the target in memory") {
    sys::make_folders(bench.file("memory/there"));
    REQUIRE(symlink("memory/there", bench.file("there").c_str()) == 0);
  }
  bench.write("book.lua", shell_book("sh(\"slow\", \"" + std::string(in_flight) + "\")" + book));
  const int pid = bench.start({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()});
  wait_for_file(bench.file("flying"));
  kill_and_wait(pid);
  bench.write("go", "");
  const Ran ran = bench.relight({"resume"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(bench.read("there/blobs/4") == noise(2000));
  CHECK(bench.read("there/file") == "new\n");
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(sys::names_in(bench.file("there")).empty());
}

TEST_CASE("a target that is mounted read-only is told by the plan of each step") {
  Places bench;
  const Mounted there(bench.file("there"));
  const auto remount = [&](unsigned long flags) {
    REQUIRE(::mount("none", there.path().c_str(), "tmpfs", MS_REMOUNT | flags, "") == 0);
  };
  remount(MS_RDONLY);
  const Ran ran = bench.run(shell_book(book), bench.dir());
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  std::size_t told = 0;
  const std::string out = flat(ran.out), why = "is mounted read-only";
  for (std::size_t at = 0; (at = out.find(why, at)) != std::string::npos; ++at) ++told;
  CHECK(told == 3);
  CHECK_FALSE(sys::exists(bench.file("state/runs")));
  remount(0);
  CHECK(bench.run(shell_book(book), bench.dir()).exit == 0);
  CHECK(bench.read("there/file") == "new\n");
}

TEST_CASE("a file system that becomes read-only while a run goes on fails the step, and resume does it") {
  Places bench;
  const Mounted there(bench.file("there"));
  bench.write("there/file", "old\n");
  const std::string step =
      "host.file \"file\" { from = input.dir / \"backup/file\", into = input.dir / \"there/file\" }\n"
      "blobs.restore \"blobs\" { from = input.dir / \"backup/blobs\", into = input.dir / \"there/blobs\", "
      "after = { "
      "\"broken\" } }\n";
  const Ran ran = bench.run(
      shell_book("sh(\"broken\", \"mount -o remount,ro " + there.path() + "\")\n" + step), bench.dir());
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(flat(ran.out).find("Read-only file system") != std::string::npos);
  CHECK(bench.read("there/file") == "old\n");
  REQUIRE(::mount("none", there.path().c_str(), "tmpfs", MS_REMOUNT, "") == 0);
  const Ran resumed = bench.relight({"resume"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  CHECK(bench.read("there/file") == "new\n");
  CHECK(bench.read("there/blobs/4") == noise(2000));
}

TEST_CASE("an immutable folder is told by the plan, where not even root can write") {
  Places bench;
  sys::make_folders(bench.file("there"));
  if (!set_immutable(bench.file("there"), true)) return;  // a file system without it
  const Ran ran = bench.run(shell_book(book), bench.dir());
  set_immutable(bench.file("there"), false);
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.out).find("is set immutable") != std::string::npos);
  CHECK(ran.out.find("chattr -i") != std::string::npos);
  CHECK(bench.run(shell_book(book), bench.dir()).exit == 0);
}

TEST_CASE("of two relights at once on one target, and of two that resume one run, one works") {
  Places bench;
  bench.write("book.lua",
              shell_book("sh(\"slow\", \"" + std::string(in_flight) + "echo slow >> out\")" + book));
  const std::vector<std::string> run = {"run", bench.file("book.lua"), "--set", "dir=" + bench.path()};
  const int pid = bench.start(run);
  wait_for_file(bench.file("flying"));
  const std::string id = bench.status()["run"];

  const Ran other = bench.relight(run);
  INFO(other.out, other.err);
  CHECK(other.exit == 5);
  CHECK(flat(other.out + other.err).find(id) != std::string::npos);
  const Ran same = bench.relight({"resume", id});
  CHECK(same.exit == 5);
  CHECK(flat(same.err).find("another relight is working on it, process " + std::to_string(pid)) !=
        std::string::npos);

  kill_and_wait(pid);
  bench.write("go", "");
  const int first = bench.start({"resume", id}), second = bench.start({"resume", id});
  const int exits[] = {wait_for_exit(first), wait_for_exit(second)};
  INFO(bench.read("started.out"));
  // Whoever came too late finds it held, or done.
  CHECK((exits[0] == 0 || exits[1] == 0));
  for (const int exit : exits) CHECK((exit == 0 || exit == 5 || exit == 2));
  CHECK(bench.read("out") == "slow\n");
  CHECK(bench.run_state() == "done");
}
