// The end of a relight that is killed in a test.
#pragma once
#include <vector>

#include "runner/sys/process.h"

namespace relight {

std::vector<sys::ProcessId> below(int pid);  // its descendants

// SIGKILL to relight alone. Returns when its keeper has ended all that it kept: no step sees what the test
// does next.
void kill_and_wait(int pid);

}  // namespace relight
