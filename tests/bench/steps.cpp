// 1,000 steps of /bin/true against the least that anybody could do: a C loop of posix_spawn, wait, and two
// 200-byte records appended and synced per step.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "runner/sys/files.h"
#include "tests/bench/measure.h"

extern char** environ;

namespace {

double plain_loop(const std::string& folder, int count) {
  const auto began = std::chrono::steady_clock::now();
  const std::string record(199, 'x');
  const std::string line = record + "\n";
  const int file = open((folder + "/plain-journal").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  const auto append = [&] {
    if (write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || fdatasync(file) != 0)
      std::exit(1);
  };
  for (int i = 0; i < count; ++i) {
    append();
    char program[] = "/bin/true";
    char* argv[] = {program, nullptr};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, program, nullptr, nullptr, argv, environ) != 0) std::exit(1);
    if (waitpid(pid, &status, 0) != pid || status != 0) std::exit(1);
    append();
  }
  close(file);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

int main() {
  using namespace relight;
  sys::TempFolder folder("/var/tmp");
  const std::string runbook = bench::runbook_of(folder.path(), 1000);
  bench::compare(
      "steps", 1.5, 5,
      [&] {
        return bench::seconds_of(
            {RELIGHT_PROGRAM, "--state", folder.path() + "/state", "run", runbook, "--json", "--yes"});
      },
      [&] { return plain_loop(folder.path(), 1000); });
}
