// A terminal that is lost while a run goes on, and steps that print more than anybody keeps.
#include <doctest/doctest.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// relight at a terminal of its own.
struct AtTerminal : Bench {
  int master = -1, pid = -1;

  void start_there(const std::string& book, bool asks = false) {
    write("book.lua", book);
    std::vector<std::string> words = {RELIGHT_PROGRAM,  "--state", file(state),    "run",
                                      file("book.lua"), "--set",   "dir=" + path()};
    if (!asks) words.push_back("--yes");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid = forkpty(&master, nullptr, nullptr, nullptr);
    REQUIRE(pid >= 0);
    if (pid == 0) {
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  // What is shown, until `text` is.
  std::string read_until(const std::string& text) const {
    std::string shown;
    char buffer[4096];
    while (shown.find(text) == std::string::npos) {
      const ssize_t got = ::read(master, buffer, sizeof buffer);
      REQUIRE_MESSAGE(got > 0, shown);
      shown.append(buffer, static_cast<std::size_t>(got));
    }
    return shown;
  }
  // As a connection that breaks: SIGHUP to who sits there, and an error to who writes there.
  void lose() {
    REQUIRE(close(master) == 0);
    master = -1;
  }
  ~AtTerminal() {
    if (master >= 0) close(master);
  }
};

// The most memory that a process has used, in KiB; 0: it is gone.
long most_memory(int pid) {
  const auto status = sys::read_file_if_there("/proc/" + std::to_string(pid) + "/status");
  const std::size_t at = status ? status->find("VmHWM:") : std::string::npos;
  return at == std::string::npos ? 0 : std::atol(status->c_str() + at + 6);
}

constexpr const char* in_flight = "touch flying; while [ ! -e go ]; do echo waits; sleep 0.01; done; ";

}  // namespace

TEST_CASE("a lost terminal stops nothing: the run goes on to its end") {
  AtTerminal bench;
  bench.start_there(shell_book(
      std::string("sh(\"slow\", \"") + in_flight + "echo slow >> out\")\n" +
      "for i = 1, 20 do sh(\"then\" .. i, \"echo then >> out\") end\nsh(\"bad\", \"echo no >&2; exit 3\", { "
      "on_failure = \"continue\", waive = \"a test\" })"));
  wait_for_file(bench.file("flying"));
  bench.read_until("started");
  bench.lose();
  bench.write("go", "");
  CHECK(wait_for_exit(bench.pid) == 0);
  CHECK(bench.run_state() == "done");
  CHECK(sys::split(bench.read("out"), '\n').size() == 22);
}

TEST_CASE("a terminal that is lost at a question leaves the run waiting for its approval") {
  AtTerminal bench;
  bench.start_there(
      shell_book("approve \"fenced\" { prompt = \"Is it off?\" }\nsh(\"one\", \"echo one >> out\")"));
  bench.read_until("Is it off?");
  bench.lose();
  CHECK(wait_for_exit(bench.pid) == 6);
  CHECK(bench.read("out") == "");
  CHECK(bench.relight({"resume", "--approve", "fenced"}).exit == 0);
  CHECK(bench.read("out") == "one\n");
}

TEST_CASE("a run that comes too late for its target, asked whether to begin, leaves nothing behind") {
  const std::string book = R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
host.file "unit" { into = input.dir / "unit", content = "new" }
)";
  AtTerminal bench;
  bench.start_there(book, true);
  bench.read_until("carry it out?");
  const Bench first;
  REQUIRE(first
              .run(book + "shell.run \"bad\" { command = { \"/bin/false\" } }\n",
                   {"--set", "dir=" + bench.path()})
              .exit == 1);
  REQUIRE(write(bench.master, "y\n", 2) == 2);
  bench.read_until("owns it");
  CHECK(wait_for_exit(bench.pid) == 5);
  CHECK(sys::names_in(bench.file("state/runs")).empty());
  const Ran back = bench.relight({"rollback", "--yes"});  // none, and not the one that never began
  CHECK(back.exit == 2);
  CHECK(back.err.find("there is none") != std::string::npos);
}

TEST_CASE("progress that shows nothing new is not written again") {
  AtTerminal bench;
  sys::make_folders(bench.file("from"));
  for (int i = 0; i < 300; ++i) bench.write("from/" + std::to_string(i), "a blob");
  bench.start_there(R"(
runbook "book" {}
local input = inputs { dir = { doc = "where", type = "path" } }
blobs.restore "blobs" { from = input.dir / "from", into = input.dir / "into" }
)");
  const std::string shown = bench.read_until("done in"), redraw = "\r\033[K";
  CHECK(wait_for_exit(bench.pid) == 0);
  std::string last;
  int drawn = 0;
  for (std::size_t at = shown.find(redraw), next; at != shown.npos; at = next) {
    next = shown.find(redraw, at + redraw.size());
    const std::string line = shown.substr(at, next == shown.npos ? next : next - at);
    CHECK(line != last);
    last = line;
    ++drawn;
  }
  CHECK(drawn > 0);
}

TEST_CASE("a gigabyte that a step prints after its terminal was lost is cut in the log, and held nowhere") {
  AtTerminal bench;
  bench.start_there(
      shell_book(std::string("sh(\"loud\", \"touch flying; while [ ! -e go ]; do sleep 0.01; done; ") +
                 "yes a line of text | head -c 500000000; yes to stderr | head -c 500000000 >&2; "
                 "touch all\")\nsh(\"last\", \"echo last >> out\")"));
  wait_for_file(bench.file("flying"));
  bench.lose();
  bench.write("go", "");
  long most = 0;
  std::thread watch([&] {
    for (long now; (now = most_memory(bench.pid)) > 0;) {
      most = std::max(most, now);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  const int exit = wait_for_exit(bench.pid);
  watch.join();
  CHECK(exit == 0);
  CHECK(sys::exists(bench.file("all")));
  CHECK(bench.read("out") == "last\n");
  CHECK(most > 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(most < 100 << 10);
#endif
  const std::string log =
      bench.file("state/runs/" + bench.status()["run"].get<std::string>() + "/log/loud.log");
  const std::string text = sys::read_file(log, 80u << 20);
  CHECK(text.size() > 60u << 20);
  CHECK(text.size() < 65u << 20);
  CHECK(text.ends_with("\n[relight: the rest of this log was cut]\n"));
}
