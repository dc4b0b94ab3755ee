// A service without a manager: started detached by relight, known by pid file, start time and start token.
#pragma once
#include <map>

#include "steps/service/lib/service.h"

namespace relight {

struct OwnProcessPlan {
  std::vector<std::string> command;  // empty: it can only be stopped
  std::string pid_file, env_file, log, cwd;
  std::map<std::string, std::string> env;  // secrets read, where they may be
  int port = 0;                            // 0: not told
};

std::unique_ptr<Service> own_process(OwnProcessPlan plan, std::string token);

}  // namespace relight
