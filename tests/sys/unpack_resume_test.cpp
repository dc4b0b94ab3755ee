// Unpackings that were killed, and gone on with: the same tree in the end, and nothing whole written twice.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"
#include "tests/support/archive.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"
#include "tests/support/mounted.h"

using namespace relight;
using namespace relight::sys;

namespace {

constexpr const char* record_name = "/.relight-unpacked";

struct Killed {
  TempFolder temp;
  Mounted memory{temp.path() + "/m"};  // every unpacking syncs its whole file system
  std::string root = memory.path(), from = root + "/from", into = root + "/into", source = from;
  std::string words = "once";
  std::map<std::string, std::string> hashes;

  Killed() {
    make_folders(from + "/closed");
    make_folders(into);
    for (int i = 0; i < 40; ++i) write_file(file(i), noise(1000 + static_cast<std::size_t>(i)), 0640);
    write_file(from + "/closed/last", "last", 0400);
    REQUIRE(::chmod((from + "/closed").c_str(), 0500) == 0);
  }
  std::string file(int i) const { return from + "/" + std::to_string(10 + i); }
  void pack(const std::string& form) {
    source = root + "/t." + form;
    const std::map<std::string, std::string> how = {{"tar", "tar -c *"},
                                                    {"gz", "tar -c * | gzip"},
                                                    {"zst", "tar -c * | zstd -q"},
                                                    {"zip", "zip -qr - *"}};
    REQUIRE(std::system(("cd " + from + " && " + how.at(form) + " > " + source).c_str()) == 0);
  }
  void unpack_once() {
    hashes.clear();
    UnpackOptions options;
    options.hashed = [&](const ArchiveEntry& entry, const std::string& hash) { hashes[entry.path] = hash; };
    options.resume_as = words;
    is_folder(source) ? copy_checked(source, into, options) : unpack(source, into, options);
  }
  std::vector<std::string> recorded() const {
    std::vector<std::string> lines = split(read_file_if_there(into + record_name).value_or(""), '\n');
    lines.erase(lines.begin());
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }
  // Killed before a file is written for the `number`th time, once `least` files are recorded.
  void kill_at_write(int number, std::size_t least) {
    const std::string point = "sys:unpack" + (number > 1 ? "#" + std::to_string(number) : "");
    const Outcome outcome = in_child(
        "", [&] { return unpack_once(), Json(); },
        [&, point, least](const Point& at) {
          if (at.name != point) return 0;
          while (recorded().size() < least) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          raise(SIGKILL);
          return 0;
        });
    REQUIRE(outcome.killed);
  }
  // How often a piece of a file was written.
  int go_on() {
    std::atomic<int> writes = 0;
    watch_failpoints([&](const Point& point) {
      if (point.name.starts_with("sys:unpack")) ++writes;
      return 0;
    });
    unpack_once();
    watch_failpoints({});
    return writes;
  }
  void check_whole() {
    REQUIRE(exists(into + record_name));
    forget_unpacking(into);
    std::size_t files = 0;
    walk(from, [&](const Entry& entry) {
      CAPTURE(entry.path);
      struct stat old, made;
      const std::string at = into + "/" + entry.path;
      REQUIRE(::lstat(at.c_str(), &made) == 0);
      REQUIRE(::lstat((from + "/" + entry.path).c_str(), &old) == 0);
      CHECK(made.st_mode == old.st_mode);
      if (entry.kind != 'f') return;
      ++files;
      CHECK(read_file(at) == read_file(from + "/" + entry.path));
      CHECK(hashes[entry.path] == sha256_file(at));
    });
    CHECK(hashes.size() == files);
    walk(into, [&](const Entry& entry) { CHECK(exists(from + "/" + entry.path)); });
  }
};

}  // namespace

TEST_CASE("a killed unpacking goes on with the files that it had not written") {
  for (const char* form : {"tar", "gz", "zst", "zip", "folder"}) {
    CAPTURE(form);
    Killed bench;
    if (std::string(form) != "folder") bench.pack(form);
    bench.kill_at_write(12, 11);
    REQUIRE(bench.recorded().size() == 11);
    CHECK(bench.go_on() == 30);
    CHECK(bench.go_on() == 0);  // killed after its last file
    bench.check_whole();
  }
}

TEST_CASE("a file that is recorded is neither read nor written again") {
  Killed bench;
  bench.kill_at_write(12, 11);
  for (const std::string& path : {bench.file(3), bench.into + "/13"}) {
    struct stat info;
    REQUIRE(::stat(path.c_str(), &info) == 0);
    std::ofstream(path, std::ios::in | std::ios::out) << "told";
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  }
  CHECK(bench.go_on() == 30);
  CHECK(read_file(bench.into + "/13").starts_with("told"));
  CHECK(bench.hashes["13"] == sha256_hex(noise(1003)));
}

TEST_CASE("a file that was half written is written where it differs") {
  Killed bench;
  const std::string large = bench.from + "/00";
  write_file(large, noise(5 * (256u << 10)), 0600);
  bench.kill_at_write(3, 0);
  SUBCASE("as it was") {
    CHECK(bench.go_on() == 3 + 41);
  }
  SUBCASE("another one now, with a hole") {
    write_file(large, noise(256u << 10), 0600);
    REQUIRE(::truncate(large.c_str(), 3 << 20) == 0);
    std::ofstream(large, std::ios::in | std::ios::out | std::ios::ate) << "behind it";
    bench.go_on();
  }
  SUBCASE("a shorter one now") {
    write_file(large, "short", 0600);
    bench.go_on();
  }
  bench.check_whole();
}

TEST_CASE("after another boot a file is believed when its bytes are what was recorded") {
  Killed bench;
  bench.kill_at_write(12, 11);
  std::string record = read_file(bench.into + record_name);
  record.replace(record.find("unpacked 1 ") + 11, 1, "x");
  const auto tear = [&](const char* name) {  // as a power cut leaves a file that was never synced
    struct stat info;
    REQUIRE(::stat((bench.into + name).c_str(), &info) == 0);
    REQUIRE(::truncate((bench.into + name).c_str(), 0) == 0);
    REQUIRE(::truncate((bench.into + name).c_str(), info.st_size) == 0);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    REQUIRE(::utimensat(AT_FDCWD, (bench.into + name).c_str(), times, 0) == 0);
  };
  tear("/11");
  tear("/13");
  SUBCASE("the record is whole") {
    write_file(bench.into + record_name, record, 0600);
    CHECK(bench.go_on() == 30 + 2);
  }
  SUBCASE("the record is torn") {
    write_file(bench.into + record_name, record.substr(0, record.size() - 20) + std::string(4096, '\0'),
               0600);
    CHECK(bench.go_on() == 30 + 2);  // of the last, every byte is there: compared, not written
  }
  bench.check_whole();
  CHECK(exists(bench.into));
}

TEST_CASE("what is of another source, or under other words, is not gone on with") {
  Killed bench;
  bench.pack("tar");
  bench.kill_at_write(12, 11);
  UnpackOptions options;
  options.resume_as = "once";
  CHECK(unpacking_begun(bench.source, bench.into, options));
  SUBCASE("other words") {
    bench.words = options.resume_as = "twice";
  }
  SUBCASE("the archive was made anew") {
    write_file(bench.file(0), "new", 0640);
    bench.pack("tar");
  }
  CHECK_FALSE(unpacking_begun(bench.source, bench.into, options));
  CHECK(std::string(error_of([&] { bench.unpack_once(); }).what()) ==
        "cannot unpack into: " + bench.into + ": it is not empty");
}

TEST_CASE("a folder that changes between two attempts is copied as it is at last") {
  Killed bench;
  make_folders(bench.from + "/00");
  write_file(bench.from + "/00/gone", "gone", 0600);
  bench.kill_at_write(12, 11);
  remove_tree(bench.from + "/00");
  remove_file(bench.file(1));
  write_file(bench.file(2), "another", 0600);
  REQUIRE(::chmod(bench.file(3).c_str(), 0604) == 0);
  write_file(bench.from + "/20a", "more", 0600);
  bench.go_on();
  bench.check_whole();
}

TEST_CASE("of a path that occurs twice the last entry stays, wherever the first attempt ended") {
  for (const int writes : {1, 2, 3, 4}) {
    CAPTURE(writes);
    Killed bench;
    remove_tree(bench.from);
    bench.source = bench.root + "/t.tar";
    make_archive(bench.source, {{.path = "a", .bytes = "one"},
                                {.path = "b", .bytes = "a", .hard = true},
                                {.path = "a", .bytes = "two"},
                                {.path = "c", .bytes = "end"},
                                {.path = "d", .bytes = "end"}});
    bench.kill_at_write(writes, writes > 1 ? 1 : 0);
    // Killed between the writing of a file and its record.
    const std::string record = read_file(bench.into + record_name), two = sha256_hex("two");
    if (const std::size_t at = record.find(two); at != std::string::npos)
      write_file(bench.into + record_name, record.substr(0, at) + record.substr(record.find('\n', at) + 1),
                 0600);
    bench.go_on();
    CHECK(read_file(bench.into + "/a") == "two");
    CHECK(read_file(bench.into + "/b") == "one");
    CHECK(read_file(bench.into + "/d") == "end");
  }
}
