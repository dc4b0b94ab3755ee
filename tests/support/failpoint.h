// The test program's failpoints: what happens at one is the test's to say.
#pragma once
#include <functional>
#include <string>

namespace relight {

using FailpointWatch = std::function<void(const char* name)>;
void watch_failpoints(FailpointWatch watch);       // {}: nothing happens at any
FailpointWatch crash_at(const std::string& name);  // SIGKILL to itself; for a forked child of a test

}  // namespace relight
