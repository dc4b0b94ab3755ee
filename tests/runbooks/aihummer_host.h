// The host of the AiHummer runbooks' tests, made and looked at by its script.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/process.h"

namespace relight {

inline std::string aihummer_host(const std::vector<std::string>& arguments) {
  sys::Command command;
  command.argv = {RELIGHT_SOURCE_DIR "/tests/runbooks/aihummer-host"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return sys::output_of(command, "the host fails");
}

}  // namespace relight
