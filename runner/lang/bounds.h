// The bounds of an evaluating child that Lua's own hook cannot keep: CPU time (a pattern bomb runs no hook)
// and, as a net under the counting allocator, address space.
#pragma once
#include <cstddef>

namespace relight::lang {

// Kept without a lock or an allocation, for the timer's handler.
void last_line_seen(const char* file, int line);

// For a child only. After `seconds` of CPU the handler writes `tag`, then "FILE:LINE" of the last line seen,
// to `fd` and ends the process.
void arm_cpu_bound(int seconds, int fd, char tag);
void disarm_cpu_bound();

void limit_address_space(std::size_t bytes_more);  // beyond what the process has now; no core file either

}  // namespace relight::lang
