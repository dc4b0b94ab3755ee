// The commands. Each returns the exit code; an Error that it throws is printed and mapped by run_command.
#pragma once
#include <vector>

#include "runner/cli/options.h"
#include "runner/engine/worker.h"
#include "runner/step/step.h"

namespace relight {

struct Program {
  std::vector<const StepType*> step_types;  // of steps/
  std::vector<const StepType*> types;       // and the words of the language
  WorkerHooks hooks;                        // what the language adds to a worker
};

int run_command(const Options& options, const Program& program);

// run.cpp
int command_plan(const Options& options, const Program& program);
int command_run(const Options& options, const Program& program);
int command_resume(const Options& options, const Program& program);
int command_rollback(const Options& options, const Program& program);
int command_abandon(const Options& options, const Program& program);
// views.cpp
int command_status(const Options& options, const Program& program);
int command_log(const Options& options, const Program& program);
// report.cpp
int command_report(const Options& options, const Program& program);
// rehearse.cpp
int command_rehearse(const Options& options, const Program& program);
// keep.cpp
int command_keep(const Options& options, const Program& program);
// verify.cpp
int command_verify(const Options& options, const Program& program);
// peek.cpp
int command_peek(const Options& options, const Program& program);
// window.cpp
int command_window(const Options& options, const Program& program);
// reference.cpp
int command_steps(const Options& options, const Program& program);

}  // namespace relight
