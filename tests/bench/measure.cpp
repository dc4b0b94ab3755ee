#include "tests/bench/measure.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/process.h"
#include "runner/sys/wait.h"

extern char** environ;

namespace relight::bench {

namespace {

struct Spread {
  double median, least, most;
};

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

}  // namespace

double seconds_of(const std::vector<std::string>& argv) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  const auto began = std::chrono::steady_clock::now();
  pid_t pid;
  int status = 0;
  if (posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ) != 0 ||
      waitpid(pid, &status, 0) != pid || status != 0) {
    fmt::print(stderr, "bench: {} did not exit 0 (status {})\n", argv[0], status);
    std::exit(1);
  }
  posix_spawn_file_actions_destroy(&actions);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void kill_when(std::vector<std::string> words, const std::function<bool()>& far_enough,
               std::chrono::milliseconds poll) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  if (posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::exit(1);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  const auto need = [&](bool holds) {
    if (holds) return;
    fmt::print(stderr, "bench: {} ended before it was killed\n", words[0]);
    std::exit(1);
  };
  while (!far_enough()) {
    need(waitpid(pid, &status, WNOHANG) == 0);
    std::this_thread::sleep_for(poll);
  }
  const auto all = sys::descendants_of(sys::proc_all(), {pid});
  kill(pid, SIGKILL);
  need(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
  sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(1), {}, [&] {
    for (const sys::ProcStat& one : all)
      if (sys::alive(one.process)) return false;
    return true;
  });
}

void compare(const std::string& name, double target, int rounds, const std::function<double()>& ours,
             const std::function<double()>& peer) {
  ours();
  peer();
  std::vector<double> mine, theirs, ratios;
  for (int i = 0; i < rounds; ++i) {
    mine.push_back(ours());
    theirs.push_back(peer());
    ratios.push_back(mine.back() / theirs.back());
  }
  const Spread ratio = spread_of(ratios);
  fmt::print("{} ratio {:.2f} ({:.2f}-{:.2f}) n={} target {}\n", name, ratio.median, ratio.least, ratio.most,
             rounds, target);
  fmt::print("  ours {:.1f} ms, the peer {:.1f} ms\n", spread_of(mine).median * 1000,
             spread_of(theirs).median * 1000);
}

void compare_besides(const std::string& reading, const std::vector<double>& ours,
                     const std::vector<double>& peer) {
  std::vector<double> ratios;
  for (std::size_t i = 1; i < ours.size(); ++i) ratios.push_back(ours[i] / peer[i]);
  const Spread ratio = spread_of(ratios);
  fmt::print("  {}: {:.2f} ({:.2f}-{:.2f})\n", reading, ratio.median, ratio.least, ratio.most);
}

void absolute(const std::string& name, double target_ms, int rounds, const std::function<double()>& ours) {
  ours();
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) times.push_back(ours() * 1000);
  const Spread time = spread_of(times);
  fmt::print("{} ms {:.1f} ({:.1f}-{:.1f}) n={} target {}\n", name, time.median, time.least, time.most,
             rounds, target_ms);
}

void count(const std::string& name, const std::string& unit, int target, int rounds,
           const std::function<int()>& ours) {
  std::vector<double> counts;
  for (int i = 0; i < rounds; ++i) counts.push_back(ours());
  const Spread spread = spread_of(counts);
  fmt::print("{} {} {:.0f} ({:.0f}-{:.0f}) n={} target {}\n", name, unit, spread.median, spread.least,
             spread.most, rounds, target);
}

std::string runbook_of(const std::string& folder, int count) {
  const std::string path = folder + "/thousand.lua";
  sys::write_file(
      path,
      fmt::format(
          "runbook \"thousand\" {{}}\n"
          "for i = 1, {} do\n"
          "  shell.run(\"step\" .. i) {{ command = {{ \"/bin/true\" }}, undo = {{ \"/bin/true\" }} }}\n"
          "end\n",
          count),
      0644);
  return path;
}

}  // namespace relight::bench
