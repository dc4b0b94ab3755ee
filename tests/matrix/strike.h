// What a crash does to the processes and the disks.
#pragma once
#include "tests/matrix/crash_file.h"

namespace relight {

// Kills the victims, and cuts the power before that where it is asked for. Only root can.
void strike(const CrashFile& crash, int passer);

}  // namespace relight
