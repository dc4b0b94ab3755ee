// The only file that sees both the engine and the table of step types.
#include <cstdio>
#include <string_view>

#include "runner/cli/commands.h"
#include "runner/lang/evaluate.h"
#include "runner/lang/words.h"

int main(int argc, char** argv) {
  using namespace relight;
  // Before the options are even built: what is asked most often by scripts is answered at once.
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts("relight " RELIGHT_VERSION);
    return 0;
  }
  const Parsed parsed = parse_command_line(argc, argv);
  if (parsed.exit >= 0) return parsed.exit;
  Program program;
  program.step_types = step_table();
  program.types = lang::with_words(program.step_types);
  program.hooks.freeze = [&program](const std::string& folder, const std::string& digest) {
    lang::set_frozen(folder, digest, program.step_types);
  };
  program.hooks.when = lang::call_when;
  return run_command(parsed.options, program);
}
