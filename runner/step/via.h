// A service of a docker compose project, as a runbook names it: via = compose{ file, project, service }.
#pragma once
#include <optional>
#include <string>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/step/step.h"
#include "runner/sys/compose.h"

namespace relight {

struct Via {
  std::string file, project, service;

  std::string text() const { return "service " + service + " of " + file; }
};

// The field `via`, for a type to declare.
Field via_field(std::string doc);

// Nothing: the field is not given. It must be known.
std::optional<Via> via_of(const Params& params, Call& call);
// "compose:FILE/SERVICE" for Step::targets; empty where it is not given, or not known yet.
std::vector<std::string> via_target(const Params& params);
std::string shown_via(const Params& params);  // for a summary, what is not known yet as the plan shows it

// Its programs are run and ended as the step's own; the call outlives it.
sys::Compose compose_of(const Via& via, Call& call);
sys::Docker docker_of(Call& call);

// For a preview: whether the project can be looked at. What an earlier step may yet bring, compose or the
// file, is a hint and makes the verdict cannot_yet_tell. A refused Error: the file does not parse, it has no
// such service, no engine answers.
bool foresee_via(const Via& via, Call& call, Preview& preview);

// The one container of the service that runs. A refused Error names what is there instead.
sys::Container container_of(const Via& via, Call& call);

}  // namespace relight
