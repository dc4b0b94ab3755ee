// The frozen runbook of a run, evaluated again in a worker for one of its functions.
#pragma once
#include <memory>
#include <string>

#include "runner/lang/evaluation.h"

namespace relight::lang {

// What `set_frozen` put into memory, evaluated: its digest is the plan's, or this throws.
struct FrozenEvaluation {
  FrozenEvaluation();
  ~FrozenEvaluation();

  struct Parts;
  std::unique_ptr<Parts> parts;
  Plan plan;
  Evaluation& evaluation();
};

// The frozen runbook's file name; throws where set_frozen was not called.
std::string frozen_runbook();

}  // namespace relight::lang
