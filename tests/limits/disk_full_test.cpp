// Disks that are full: the target's, and the one that the journal is to be written to.
#include <doctest/doctest.h>

#include <algorithm>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/archive.h"
#include "tests/support/mounted.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

constexpr const char* full = "No space left on device";

// A step that takes what room there is in a folder of the bench.
std::string fill(const std::string& folder) {
  return R"(sh("fill", "head -c 100000000 /dev/zero > )" + folder +
         R"(/fill || true", { after = {}, creates = input.dir / ")" + folder + "/fill\" })\n";
}

struct Full : Bench {
  Mounted small;
  explicit Full(const std::string& folder, const std::string& size)
      : small(file(folder), Mounted::Kind::tmpfs, size) {}
  void fill_up() const {
    sys::Command command;
    command.argv = {"/bin/sh", "-c", "head -c 100000000 /dev/zero > " + small.path() + "/fill"};
    CHECK_FALSE(sys::run(command).ok());
  }
  void make_room() const { sys::remove_file(small.path() + "/fill"); }
  Ran run_in(const std::string& steps, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"--set", "dir=" + path()});
    return run(shell_book(steps), more);
  }
};

}  // namespace

TEST_CASE("where the run's folder cannot be made nothing was started") {
  const Full bench("state", "64k");
  bench.fill_up();
  const std::string steps = R"(sh("one", "echo one >> out"))";
  const Ran ran = bench.run_in(steps);
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.err).find(full) != std::string::npos);
  CHECK(flat(ran.err).find("make room there first") != std::string::npos);
  CHECK(bench.read("out") == "");
}

TEST_CASE("a state folder that fills up: what runs comes to its end, nothing begins, resume goes on") {
  const Full bench("state", "4m");
  std::string steps =
      R"(sh("slow", "while [ ! -e go ]; do sleep 0.01; done; echo slow >> out", { after = {} }))"
      "\n" +
      fill("state");
  for (int i = 1; i <= 6; ++i)
    steps += "sh(\"next" + std::to_string(i) + "\", \"echo next" + std::to_string(i) +
             " >> out\", { after = { \"fill\" } })\n";
  bench.write("book.lua", shell_book(steps));
  const int pid = bench.start({"run", bench.file("book.lua"), "--set", "dir=" + bench.path(), "--jobs", "9"});
  CHECK(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {},
                        [&] { return bench.read("started.out").find("done in") != std::string::npos; }));
  bench.write("go", "");
  CHECK(wait_for_exit(pid) == 1);
  const std::string told = flat(bench.read("started.out"));
  INFO(told);
  CHECK(told.find("cannot reserve room for the journal") != std::string::npos);
  CHECK(told.find(full) != std::string::npos);
  CHECK(told.find("then `relight resume`") != std::string::npos);
  CHECK(bench.state_of("slow") == "done");
  CHECK(bench.state_of("fill") == "done");
  std::size_t pending = 0;
  const Json status = bench.status();
  for (const Json& step : status["steps"]) {
    CHECK((step["state"] == "done" || step["state"] == "pending"));
    pending += step["state"] == "pending";
  }
  CHECK(pending > 0);
  const Ran still = bench.relight({"resume"});
  CHECK(still.exit == 1);
  CHECK(flat(still.err).find(full) != std::string::npos);
  bench.make_room();
  const Ran resumed = bench.relight({"resume"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  std::vector<std::string> lines = sys::split(bench.read("out"), '\n');
  std::sort(lines.begin(), lines.end());
  CHECK(sys::join(lines, " ") == " next1 next2 next3 next4 next5 next6 slow");
}

TEST_CASE("a rollback that finds no room for its records stops, and is gone on with") {
  const Full bench("state", "4m");
  CHECK(bench.run_in(R"(sh("one", "echo one >> out"))").exit == 0);
  bench.fill_up();
  const Ran ran = bench.relight({"rollback", "--yes"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(flat(ran.err).find(full) != std::string::npos);
  CHECK(bench.read("out") == "one\n");
  bench.make_room();
  CHECK(bench.relight({"rollback", "--yes"}).exit == 0);
  CHECK(bench.read("out") == "one\nundo one\n");
}

TEST_CASE("a run that has ended is done, though its journal cannot be sealed for want of room") {
  const Full bench("state", "3m");
  const Ran ran = bench.run_in(fill("state"));
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(flat(ran.err).find("journal.seal: No space left on device") != std::string::npos);
  CHECK(flat(ran.err).find("the run has ended all the same") != std::string::npos);
  CHECK(bench.run_state() == "done");
  const std::string seal =
      bench.file("state/runs/" + bench.status()["run"].get<std::string>() + "/journal.seal");
  CHECK_FALSE(sys::exists(seal));
  bench.make_room();
  CHECK(bench.relight({"resume"}).exit == 2);  // there is nothing to resume, but for this
  CHECK(sys::exists(seal));
}

TEST_CASE("a target's disk that fills up before its step: the target as it was, and resume does it") {
  std::string step, made;
  const Full bench("small", "2m");
  const std::string bytes = noise(1000000);
  sys::make_folders(bench.file("backup/blobs"));
  bench.write("backup/blobs/large", bytes);
  make_archive(bench.file("backup/blobs.tar.zst"), {{.path = "large", .bytes = bytes}});
  sys::make_folders(bench.file("small/blobs"));
  bench.write("small/blobs/large", "old");
  bench.write("small/file", "old");
  SUBCASE("blobs out of a folder") {
    step = R"(blobs.restore "it" { from = input.dir / "backup/blobs", into = input.dir / "small/blobs" })";
    made = "small/blobs/large";
  }
  SUBCASE("blobs out of an archive") {
    step =
        R"(blobs.restore "it" { from = input.dir / "backup/blobs.tar.zst", into = input.dir / "small/blobs" })";
    made = "small/blobs/large";
  }
  SUBCASE("a file") {
    step = R"(host.file "it" { from = input.dir / "backup/blobs/large", into = input.dir / "small/file" })";
    made = "small/file";
  }
  const Ran ran = bench.run_in(fill("small") + step);
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 1);
  CHECK(flat(ran.out).find(full) != std::string::npos);
  CHECK(flat(ran.out).find("make room there first") != std::string::npos);
  CHECK(bench.state_of("it") == "failed");
  CHECK(bench.read(made) == "old");
  bench.make_room();
  CHECK(sys::tree_bytes(bench.file("small")) < 100000);  // nothing of the attempt fills it
  const Ran resumed = bench.relight({"resume"});
  INFO(resumed.out, resumed.err);
  CHECK(resumed.exit == 0);
  CHECK(bench.read(made) == bytes);
}

TEST_CASE("a plan says beforehand that the target's disk is too small") {
  const Full bench("small", "512k");
  sys::make_folders(bench.file("backup/blobs"));
  bench.write("backup/blobs/large", noise(1000000));
  const Ran ran = bench.run_in(
      R"(blobs.restore "it" { from = input.dir / "backup/blobs", into = input.dir / "small/blobs" })");
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  CHECK(ran.out.find("PROBLEM") != std::string::npos);
}
