// Programs within the container of a service, by docker exec.
//
// Such a program is no child of relight's: where docker is ended it runs on. It is told by RELIGHT_EXEC in
// its environment, which root can read on the host, and ended by that.
#pragma once
#include "runner/step/call.h"
#include "runner/step/via.h"
#include "runner/sys/process.h"

namespace relight {

// Call::run_program within the container: `cwd` is a folder there, the image's own when empty, and
// `extra_env` is set there, never seen in a list of processes. A program that must stop is ended there, too.
// A refused Error: the service does not run, or a variable is one that docker itself would take.
sys::Result run_inside(const Via& via, sys::Command command, Call& call);

// Ends what earlier attempts of this step left running there, and waits until it is gone: for Step::settle.
void end_inside(const Call& call);

// For a preview: a hint where the service does not run yet.
void foresee_inside(const Via& via, Call& call, Preview& preview);

}  // namespace relight
