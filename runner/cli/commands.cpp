#include "runner/cli/commands.h"

#include <cstdio>
#include <map>

#include "runner/cli/print.h"
#include "runner/engine/engine.h"

namespace relight {

int run_command(const Options& options, const Program& program) {
  using Command = int (*)(const Options&, const Program&);
  static const std::map<std::string, Command> commands = {
      {"plan", command_plan},         {"run", command_run},         {"resume", command_resume},
      {"rollback", command_rollback}, {"abandon", command_abandon}, {"status", command_status},
      {"log", command_log},           {"report", command_report},   {"keep", command_keep},
      {"steps", command_steps}};
  try {
    return commands.at(options.command)(options, program);
  } catch (const Held& error) {
    print_error(error);
    return exit_held;
  } catch (const Error& error) {
    print_error(error);
    switch (error.kind) {
      case ErrorKind::refused:
        return exit_refused;
      case ErrorKind::needs_person:
        return exit_needs_person;
      default:
        return exit_failed;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "relight: %s\n  hint: this is a fault of relight: please report it\n", error.what());
    return exit_failed;
  }
}

}  // namespace relight
