// What the benchmarks share: a runbook of 1,000 steps, timing whole commands in turn, and the one line that
// is printed.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace relight::bench {

// Wall seconds of a whole command, its output thrown away. Ends the benchmark when it does not exit 0.
double seconds_of(const std::vector<std::string>& argv);

// Starts the command, and kills it and all that it has started once `far_enough` says so, which is asked
// every `poll`; returns when all of them are gone. Ends the benchmark when it ends before that.
void kill_when(std::vector<std::string> argv, const std::function<bool()>& far_enough,
               std::chrono::milliseconds poll);

// Runs ours and the peer's in turn `rounds` times after one warm-up of each, and prints
//   NAME ratio MEDIAN (MIN-MAX) n=N target T
// with the medians of both on the line below.
void compare(const std::string& name, double target, int rounds, const std::function<double()>& ours,
             const std::function<double()>& peer);

// Prints the ratios of another reading of the same rounds, whose first is the warm-up, a line below.
void compare_besides(const std::string& reading, const std::vector<double>& ours,
                     const std::vector<double>& peer);

// Prints "NAME ms MEDIAN (MIN-MAX) n=N target T".
void absolute(const std::string& name, double target_ms, int rounds, const std::function<double()>& ours);

// Prints "NAME UNIT MEDIAN (MIN-MAX) n=N target T" of what is counted.
void count(const std::string& name, const std::string& unit, int target, int rounds,
           const std::function<int()>& ours);

// A runbook of `count` steps that run /bin/true one after the other, in `folder`; its path.
std::string runbook_of(const std::string& folder, int count);

}  // namespace relight::bench
