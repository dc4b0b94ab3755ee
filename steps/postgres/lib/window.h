// From when to when a cluster could be recovered: every base backup of a folder, and all WAL, looked at.
#pragma once
#include "runner/step/window.h"

namespace relight::postgres {

// StepType::window. The folder: a recovery set, pgBackRest's repository, the home of one of Barman's servers,
// or one with base backups and WAL, in it or right below it.
void tell_window(const std::string& folder, bool every_byte, Call& call, WindowReport& report);

}  // namespace relight::postgres
