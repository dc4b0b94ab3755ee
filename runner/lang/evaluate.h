// A runbook and its inputs -> the plan.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/lang/fault.h"
#include "runner/lang/inputs.h"
#include "runner/lang/sources.h"
#include "runner/lang/state.h"
#include "runner/plan/plan.h"

namespace relight::lang {

struct EvaluateRequest {
  std::string runbook_path;
  Given given;
  const std::vector<const StepType*>& types;  // of steps/; `approve` and `script` are the language's own
  Limits limits = {};
};

struct Evaluated {
  Plan plan;
  std::vector<SourceFile> sources;    // the runbook, under plan.file, and every module that it required
  std::shared_ptr<const Json> given;  // the inputs that were given: as Given::file they give the same again
  std::vector<std::string> warnings;  // FILE:LINE: ...
};

// In a child process, under the bounds of Limits, twice in two fresh states; refused when the digests differ.
// Throws RunbookError for what is wrong in the runbook or with its inputs, Error for a file that cannot be
// read.
Evaluated evaluate(const EvaluateRequest& request);

// ---- in a worker: the functions of a run's frozen runbook

// Reads what is frozen in the folder (plan.json, runbook/) into memory, so that a worker can become another
// user afterwards; parses nothing. `types` outlives the process's calls.
void set_frozen(const std::string& folder, const std::string& plan_digest,
                const std::vector<const StepType*>& types);

// The `when` function of a step: the frozen runbook is evaluated again in a child under the same bounds, its
// digest is compared with the plan's, and the function is called with the outputs of the steps that the step
// waits for.
bool call_when(const std::string& step, const Json& all_outputs);

}  // namespace relight::lang
