// The test program's failpoints: what happens at one is the test's to say.
#pragma once
#include <chrono>
#include <functional>
#include <string>

namespace relight {

// A point as it is passed: "sys:rename" the first time since watch_failpoints, then "sys:rename#2", ...
struct Point {
  std::string name;
  bool can_fail;  // it stands before a system call that can be taken as failed
};

// Returns 0, or the errno that the call behind the point fails with. Called in whatever thread passes it.
using FailpointWatch = std::function<int(const Point&)>;
void watch_failpoints(FailpointWatch watch);  // {}: nothing happens at any

// For a forked child of a test: SIGKILL to itself, a failed call, a delay.
FailpointWatch crash_at(const std::string& point);
FailpointWatch fail_at(const std::string& point, int error_number);
FailpointWatch delay_at(const std::string& point, std::chrono::milliseconds delay);

}  // namespace relight
