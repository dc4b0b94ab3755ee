// Opening a run: cut off behind any record, held by another, damaged.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>

#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// Every step converges; a function decides one, another is a script, two run beside each other.
const char* const converging = R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
local world = input.dir / "world"
local made = host.directory "folder" { path = world }
local look = shell.run "look" { command = { "/bin/sh", "-c", "echo yes" }, in_doubt = "again" }
host.file "a" { into = world / "a", content = "a\n", after = { made } }
host.file "b" { into = world / "b", content = "b\n", after = { made } }
shell.run "never" { command = { "/bin/sh", "-c", "touch never" }, cwd = input.dir, in_doubt = "again",
  when = function(o) return o.look.stdout == "no" end }
script "join" { in_doubt = "again", outputs = { "size" }, run = function(ctx)
  ctx.run { "/bin/sh", "-c", "cat a b > c", cwd = world }
  return { size = 4 }
end }
shell.run "last" { command = { "/bin/sh", "-c", "cp c d" }, cwd = world, creates = world / "d" }
)";

struct Opened : Bench {
  Ran start_over(const std::string& runbook) const { return run(runbook, {"--set", "dir=" + path()}); }
  std::string run_folder() const {
    const std::string runs = file(state) + "/runs";
    std::string found;
    for (const auto& entry : std::filesystem::directory_iterator(runs))
      if (!entry.path().filename().string().starts_with(".")) found = entry.path();
    return found;
  }
  std::string states() const {
    const Json all = status();
    std::string text = all["state"].get<std::string>() + ":";
    for (const Json& step : all["steps"])
      text += " " + step["name"].get<std::string>() + "=" + step["state"].get<std::string>();
    return text;
  }
};

const char* const all_done = "done: folder=done look=done a=done b=done never=skipped join=done last=done";

std::size_t records_in(const std::string& journal) {
  std::size_t lines = 0;
  for (const char c : sys::read_file_if_there(journal).value_or("")) lines += c == '\n';
  return lines;
}

}  // namespace

TEST_CASE("a journal cut behind any batch is gone on with to the same end") {
  Opened bench;
  REQUIRE(bench.start_over(converging).exit == 0);
  REQUIRE(bench.states() == all_done);
  const std::string world = sys::tree_digest(bench.file("world") + "/d");
  const std::string journal = sys::read_file(bench.run_folder() + "/journal");
  std::vector<std::size_t> cuts = {0};
  for (std::size_t at = 0; at < journal.size();) {
    const std::size_t end = journal.find('\n', at);
    const Json record = Json::parse(journal.substr(at, end - at));
    at = end + 1;
    if (record["of"][0] == record["of"][1]) cuts.push_back(at);
  }
  REQUIRE(cuts.size() > 8);
  cuts.pop_back();  // whole
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    CAPTURE(i);
    bench.state = "state" + std::to_string(i);
    sys::copy_tree(bench.file("state"), bench.file(bench.state));
    const std::string folder = bench.run_folder();
    sys::remove_file(folder + "/journal.seal");
    // Every third with a torn end: a piece of the record that follows.
    sys::write_file(folder + "/journal", journal.substr(0, cuts[i] + (i % 3 == 2 ? 40 : 0)), 0600);
    if (i == 0) sys::remove_file(folder + "/journal");
    const Ran ran = bench.relight({"resume"});
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
    CHECK(bench.states() == all_done);
    CHECK(bench.read("world/d") == "a\nb\n");
    CHECK_FALSE(sys::exists(bench.file("never")));
  }
}

TEST_CASE("killed at any moment, and again while it is resumed, the run comes to the same end") {
  for (std::size_t records = 0; records < 20; records += 2) {
    CAPTURE(records);
    Opened bench;
    bench.write("book.lua", converging);
    const auto killed_after = [&](const std::vector<std::string>& args, std::size_t count) {
      const int pid = bench.start(args);
      bool ended = false;
      sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(0), {}, [&] {
        siginfo_t info{};
        ended = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
                info.si_pid == pid;
        const std::string folder = sys::exists(bench.file("state/runs")) ? bench.run_folder() : "";
        return ended || (!folder.empty() && records_in(folder + "/journal") >= count);
      });
      kill(pid, SIGKILL);
      wait_for_exit(pid);
    };
    killed_after({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()}, records);
    if (bench.run_state() != "done") killed_after({"resume"}, records + 4);
    if (bench.run_state() != "done") {
      const Ran ran = bench.relight({"resume"});
      INFO(ran.out, ran.err);
      CHECK(ran.exit == 0);
    }
    CHECK(bench.states() == all_done);
    CHECK(bench.read("world/d") == "a\nb\n");
    CHECK_FALSE(sys::exists(bench.file("never")));
  }
}

TEST_CASE("one relight works on a run, and the other says so at once") {
  Opened bench;
  bench.write("book.lua", R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
shell.run "slow" { command = { "/bin/sh", "-c", "touch flying; while [ ! -e go ]; do sleep 0.01; done" }, cwd = input.dir }
)");
  const int pid = bench.start({"run", bench.file("book.lua"), "--set", "dir=" + bench.path()});
  wait_for_file(bench.file("flying"));
  CHECK(bench.run_state() == "running");
  CHECK(bench.state_of("slow") == "running");
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"resume"}, {"rollback", "--yes"}, {"abandon", sys::name_of_path(bench.run_folder())}}) {
    const auto began = std::chrono::steady_clock::now();
    const Ran ran = bench.relight(args);
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 5);
    CHECK(flat(ran.err).find("another relight is working on it, process " + std::to_string(pid)) !=
          std::string::npos);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(10));
  }
  bench.write("go", "");
  CHECK(wait_for_exit(pid) == 0);
}

TEST_CASE("a damaged journal is told, shown as far as it is whole, and given up") {
  Opened bench;
  const std::string text = std::string(converging) + "shell.run \"bad\" { command = { \"/bin/false\" } }\n";
  REQUIRE(bench.start_over(text).exit == 1);
  const std::string folder = bench.run_folder(), run = sys::name_of_path(folder);
  std::string journal = sys::read_file(folder + "/journal");
  const std::size_t middle = journal.find("\"look\"", journal.size() / 3);
  journal[middle + 2] = 'x';
  sys::write_file(folder + "/journal", journal, 0600);

  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"resume"}, {"rollback", "--yes"}, {"report"}, {"status"}, {"log"}}) {
    CAPTURE(args[0]);
    const Ran ran = bench.relight(args);
    CHECK(ran.exit == 4);
    CHECK(flat(ran.err).find("relight: the journal is damaged: ") == 0);
    CHECK(flat(ran.err).find("`relight abandon " + run + "`") != std::string::npos);
  }
  CHECK(bench.relight({"status"}).out.find("folder") != std::string::npos);
  CHECK(bench.relight({"log"}).out.find("folder: finished") != std::string::npos);
  CHECK(sys::read_file(folder + "/journal") == journal);  // nobody has touched it

  const Ran other = bench.start_over(text);  // its targets are owned
  CHECK(other.exit == 5);
  CHECK(flat(other.out).find("abandon " + run) != std::string::npos);
  const Ran given_up = bench.relight({"abandon", run});
  INFO(given_up.out, given_up.err);
  CHECK(given_up.exit == 0);
  CHECK(flat(given_up.out).find(folder + "/journal.damaged") != std::string::npos);
  CHECK(sys::read_file(folder + "/journal.damaged") == journal);
  CHECK(bench.run_state() == "abandoned");
  CHECK(bench.relight({"abandon", run}).exit == 2);
  CHECK(bench.relight({"resume", run}).exit == 2);
  CHECK(bench.start_over(text).exit == 1);
}

TEST_CASE("a journal that holds nothing readable is given up, too") {
  Opened bench;
  const std::string text = std::string(converging) + "shell.run \"bad\" { command = { \"/bin/false\" } }\n";
  REQUIRE(bench.start_over(text).exit == 1);
  const std::string folder = bench.run_folder(), run = sys::name_of_path(folder);
  sys::write_file(folder + "/journal", "this was a journal\nonce\n", 0600);
  CHECK(bench.relight({"status"}).exit == 4);
  CHECK(bench.relight({"resume"}).exit == 4);
  CHECK(bench.relight({"abandon", run}).exit == 0);
  CHECK(bench.run_state() == "abandoned");
  CHECK(bench.start_over(text).exit == 1);
}

TEST_CASE("the state folder can be passed through, and what lies in it not") {
  Opened bench;
  REQUIRE(bench.start_over(converging).exit == 0);
  const auto mode = [&](const std::string& name) {
    mode_t found = 0;
    sys::walk(bench.path(), [&](const sys::Entry& entry) {
      if (entry.path == name) found = entry.mode & 07777;
    });
    return found;
  };
  CHECK(mode("state") == 0755);
  CHECK(mode("state/runs") == 0700);
  CHECK(mode("state/runs/" + sys::name_of_path(bench.run_folder()) + "/journal") == 0600);
}
