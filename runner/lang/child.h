// Work on a runbook in a child process, so that its bounds may end it.
#pragma once
#include <functional>

#include "runner/lang/state.h"
#include "runner/sys/json.h"

namespace relight::lang {

// Forks (no exec), runs `work` under the bounds of CPU time and address space, and returns what it gave. What
// it throws is thrown here: RunbookError, Error. A child that was ended by a bound is a RunbookError at the
// last line seen.
Json in_child(const Limits& limits, const std::string& runbook, const std::function<Json()>& work);

}  // namespace relight::lang
