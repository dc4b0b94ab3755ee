#include "tests/support/kill.h"

#include <doctest/doctest.h>

#include <csignal>

#include "runner/sys/proc.h"
#include "runner/sys/wait.h"
#include "tests/support/program.h"

namespace relight {

std::vector<sys::ProcessId> below(int pid) {
  std::vector<sys::ProcessId> found;
  for (const sys::ProcStat& stat : sys::descendants_of(sys::proc_all(), {pid})) found.push_back(stat.process);
  return found;
}

void kill_and_wait(int pid) {
  const auto all = below(pid);
  kill(pid, SIGKILL);
  CHECK(wait_for_exit(pid) == 128 + SIGKILL);
  CHECK(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {}, [&] {
    for (const sys::ProcessId& process : all)
      if (sys::alive(process)) return false;
    return true;
  }));
}

}  // namespace relight
