#include "runner/cli/commands.h"

#include <cstdio>
#include <map>

#include "runner/cli/print.h"
#include "runner/engine/engine.h"
#include "runner/lang/fault.h"

namespace relight {

namespace {

// Every fault with what to write instead, so that one look mends them all.
void print_faults(const lang::RunbookError& error) {
  const std::vector<lang::RunbookFault>& faults = error.faults();
  if (faults.size() == 1) {
    print_error(Error(error.kind, faults[0].text(), "", "", faults[0].hint));
    return;
  }
  std::fprintf(stderr, "relight: the runbook is refused, for %s\n", counted(faults.size(), "fault").c_str());
  for (const lang::RunbookFault& fault : faults) {
    std::fprintf(stderr, "  %s\n", wrapped(fault.text(), 4).c_str());
    if (!fault.hint.empty()) std::fprintf(stderr, "    hint: %s\n", wrapped(fault.hint, 10).c_str());
  }
}

}  // namespace

int run_command(const Options& options, const Program& program) {
  using Command = int (*)(const Options&, const Program&);
  static const std::map<std::string, Command> commands = {
      {"plan", command_plan},         {"run", command_run},         {"resume", command_resume},
      {"rollback", command_rollback}, {"abandon", command_abandon}, {"status", command_status},
      {"log", command_log},           {"report", command_report},   {"keep", command_keep},
      {"rehearse", command_rehearse}, {"steps", command_steps},     {"verify", command_verify},
      {"peek", command_peek},

      {"window", command_window}};
  try {
    return commands.at(options.command)(options, program);
  } catch (const Held& error) {
    print_error(error);
    return exit_held;
  } catch (const lang::RunbookError& error) {
    print_faults(error);
    return exit_refused;
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
    print_error(unforeseen(error, "cannot go on", ""));
    return exit_failed;
  }
}

}  // namespace relight
