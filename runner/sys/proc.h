// What /proc says of processes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/process.h"

namespace relight::sys {

struct ProcStat {
  ProcessId process;
  int parent = 0, group = 0, session = 0;
  char state = '?';

  bool ended() const { return state == 'Z' || state == 'X'; }
};

std::optional<ProcStat> proc_stat(int pid);  // nothing: no such process
std::vector<ProcStat> proc_all();            // every process, zombies included

// Of `all`: the processes below `roots` by parentage, the roots themselves included where they are there.
std::vector<ProcStat> descendants_of(const std::vector<ProcStat>& all, const std::vector<int>& roots);

// The value of NAME in the environment that the process was started with; nothing where it is not set, or may
// not be read.
std::optional<std::string> proc_env(int pid, const std::string& name);

// Sends a signal to this very process, never to a later one of the same pid. 0, or errno (ESRCH: it is gone).
int signal_process(const ProcessId& process, int signal);

}  // namespace relight::sys
