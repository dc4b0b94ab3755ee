#include "tests/support/machine.h"
#include "tests/support/skip.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "runner/sys/process.h"

namespace relight {

bool in_machine() {
  return std::getenv("RELIGHT_IN_MACHINE") != nullptr;
}

bool run_in_machine(const char* source_file, const MachineRun& run) {
  const std::string source = source_file;
  sys::Command command;
  command.argv = {RELIGHT_SOURCE_DIR "/tests/support/machine",
                  std::filesystem::read_symlink("/proc/self/exe").string(),
                  "--source-file=*" + source.substr(source.rfind("tests/")),
                  "--test-suite=machine",
                  "--test-case=" + run.test_case,
                  "--no-skip=true"};
  command.extra_env["RELIGHT_MACHINE_FOLDER"] = run.folder;
  command.capture_stdout = false;
  command.on_output = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  const int exit = sys::run(command).exit_code;
  std::fflush(stdout);
  if (exit == skipped_exit) {
    told_not_run_here();
    return false;
  }
  CHECK_MESSAGE(exit == 0, "on the machine, as told above");
  return true;
}

std::string shared_folder() {
  return std::getenv("RELIGHT_MACHINE_FOLDER");
}

}  // namespace relight
