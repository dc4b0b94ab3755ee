// The memory that a program started now may count on.
#pragma once
#include <cstdint>
#include <string>

namespace relight::sys {

// Bytes: what the kernel calls available (proc(5), meminfo), and no more than the control groups of this
// process (version 2), its RLIMIT_AS and an overcommit_memory of 2 allow. Where nothing tells: 0. `root`: of
// the files that tell, for tests.
std::uint64_t spare_memory(const std::string& root = "");

}  // namespace relight::sys
