// How many syncs of the journal 64 steps cost that do nothing and run at the same time: each has a record
// before it and one after it, 128 in all. Counted where the journal syncs, in this process: it is relight
// itself, but for the failpoints.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runner/cli/commands.h"
#include "runner/lang/evaluate.h"
#include "runner/lang/words.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "tests/bench/measure.h"

namespace {
int syncs = 0;
}  // namespace

namespace relight {

void failpoint(const char*) {}

bool fails_at(const char* name) {
  if (std::strcmp(name, "journal:sync") == 0) ++syncs;
  return false;
}

}  // namespace relight

namespace {

int run(std::vector<std::string> words) {
  using namespace relight;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const Parsed parsed = parse_command_line(static_cast<int>(argv.size()), argv.data());
  if (parsed.exit >= 0) return parsed.exit;
  Program program;
  program.step_types = step_table();
  program.types = lang::with_words(program.step_types);
  program.hooks.freeze = [](const std::string&, const std::string&) {};
  program.hooks.when = lang::call_when;
  return run_command(parsed.options, program);
}

}  // namespace

int main() {
  using namespace relight;
  sys::TempFolder folder("/var/tmp");
  const std::string book = folder.path() + "/book.lua";
  sys::write_file(book,
                  "runbook \"parallel\" {}\n"
                  "for i = 1, 64 do\n"
                  "  shell.run(\"step\" .. i) { command = { \"/bin/true\" }, undo = { \"/bin/true\" }, after "
                  "= {} }\n"
                  "end\n",
                  0644);
  bench::count("group-commit", "syncs", 32, 9, [&] {
    const pid_t child = fork();
    if (child == 0) {
      dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
      const int exit = run(
          {"relight", "--state", folder.path() + "/state", "run", book, "--jobs", "64", "--yes", "--json"});
      _exit(exit == 0 ? std::min(syncs, 254) : 255);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == 255) std::exit(1);
    return WEXITSTATUS(status);
  });
}
