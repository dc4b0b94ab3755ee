// Too little memory, and too few open files.
#include <doctest/doctest.h>

#include <set>

#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// relight under a limit of the shell's ulimit.
std::vector<std::string> under(const std::string& limit) {
  return {"/bin/sh", "-c", "ulimit " + limit + "; exec \"$@\"", "sh"};
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("with too little memory relight says so, and a resume with enough comes to the same end") {
  const auto limit = [](int mebibytes) { return under("-v " + std::to_string(mebibytes * 1024)); };
  int least = 16;  // for the libraries that are loaded
  for (;; ++least) {
    Bench bench;
    bench.under = limit(least);
    if (bench.relight({"--version"}).exit == 0 && bench.relight({"steps"}).exit == 0) break;
    REQUIRE(least < 1000);
  }
  std::set<int> exits;
  // At the very edge there is none for the C++ runtime itself to throw with.
  for (int more = 1; more < 40; more += 2) {
    CAPTURE(more);
    Bench bench;
    sys::make_folders(bench.file("backup/blobs"));
    bench.write("backup/blobs/one", std::string(3000000, 'x'));
    const std::string book = shell_book(R"(
for i = 1, 3 do sh("step" .. i, "echo step >> out" .. i, { after = {} }) end
blobs.restore "blobs" { from = input.dir / "backup/blobs", into = input.dir / "blobs" }
sh("last", "echo last >> out")
)");
    bench.under = limit(least + more);
    const Ran ran = bench.run(book, {"--set", "dir=" + bench.path()});
    INFO(ran.out, ran.err);
    exits.insert(ran.exit);
    CHECK((ran.out + ran.err).find("fault of relight") == std::string::npos);
    CHECK((ran.out + ran.err).find("terminate called") == std::string::npos);
    bench.under.clear();
    const std::string told = flat(ran.out + ran.err);
    if (ran.exit == 2) {
      CHECK(told.find("memory") != std::string::npos);
      CHECK_FALSE(sys::exists(bench.file("state/runs")));
    } else if (ran.exit != 0) {
      CHECK(ran.exit == 1);
      CHECK(told.find("memory") != std::string::npos);
      const Ran resumed = bench.relight({"resume"});
      INFO(resumed.out, resumed.err);
      CHECK(resumed.exit == 0);
    }
    if (ran.exit == 2) continue;
    CHECK(bench.read("blobs/one").size() == 3000000);
    for (const char* out : {"out1", "out2", "out3"}) CHECK(bench.read(out).starts_with("step\n"));
    CHECK(bench.read("out") == "last\n");
  }
  CHECK(exits.count(1) + exits.count(2) > 0);
  CHECK(exits.count(0) == 1);
}
#endif

TEST_CASE("with 64 open files as many steps run at once as there are files for, and the others wait") {
  Bench bench;
  bench.under = under("-n 64");
  const Ran ran = bench.run(shell_book(R"(
for i = 1, 64 do sh("step" .. i, "echo step >> out; sleep 0.05", { after = {} }) end
for i = 1, 16 do script("script" .. i) { after = {}, run = function(ctx)
  ctx.run { "/bin/sh", "-c", "echo script >> out; sleep 0.05", cwd = input.dir } end, undo = function() end } end
)"),
                            {"--set", "dir=" + bench.path(), "--jobs", "80"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(flat(ran.out).find("steps run at once: only 64 open files are allowed (ulimit -n)") !=
        std::string::npos);
  CHECK(sys::split(bench.read("out"), '\n').size() == 81);
}
