// What cannot be tried on this host. ctest shows the test file as skipped, unless another of its cases
// failed.
#pragma once
#include <string>

namespace relight {

inline constexpr int skipped_exit = 77;  // of the process, as ctest knows it

void not_run_here(const std::string& why);  // prints "not run here: WHY"
void told_not_run_here();                   // another process has printed it

int exit_with_skips(int result);  // of the whole test program: a failure counts for more
}  // namespace relight
