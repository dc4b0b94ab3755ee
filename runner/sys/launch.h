// Starting a service that outlives us: no child of ours, no descriptor of ours, a session of its own.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runner/sys/process.h"

namespace relight::sys {

struct Launch {
  std::vector<std::string> argv;           // argv[0] absolute, or found in PATH
  std::map<std::string, std::string> env;  // the whole environment, not an addition
  std::string as;                          // user; empty: our own
  std::string cwd;                         // empty: /
  std::string log;  // stdout and stderr are appended to it, made 0640 and owned by `as`; empty: /dev/null
  std::string pid_file;  // written by the launched process itself before it runs the program; empty: none
};

// Returns when the program runs (its exec has succeeded), or throws an Error that says why it could not
// be. Limits on core files are given back to it. Called by the launcher process (keeper.h), and by tests.
ProcessId launch(const Launch& launch);

}  // namespace relight::sys
