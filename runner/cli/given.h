// What was typed made into a plan: the inputs, and the runbook evaluated with them.
#pragma once
#include <string>

#include "runner/cli/commands.h"
#include "runner/lang/evaluate.h"
#include "runner/lang/fault.h"

namespace relight {

// Before the run's folder is there nothing was started, whatever failed.
template <class Work>
auto nothing_started(const std::string& hint, const Work& work) {
  try {
    return work();
  } catch (const lang::RunbookError&) {
    throw;  // it names every fault
  } catch (const Error& error) {
    throw Error(ErrorKind::refused, error.failed, error.on, error.why,
                error.hint.empty() ? hint : error.hint);
  } catch (const std::exception& error) {
    const Error told = unforeseen(error, "cannot begin", "");
    throw Error(ErrorKind::refused, told.failed, told.on, told.why, told.hint);
  }
}

// --inputs and --set. Throws a refused Error.
lang::Given given_inputs(const Options& options);

// Prints the warnings on stderr.
lang::Evaluated evaluated(const std::string& runbook, lang::Given given, const Program& program);

}  // namespace relight
