// What every part of the engine shares: the run's folder and plan, its record, and the one way to write to
// it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/engine/engine.h"
#include "runner/engine/opening.h"
#include "runner/engine/targets.h"
#include "runner/step/redactor.h"

namespace relight {

struct Context {
  Context(RunFolder run_folder, Plan run_plan, const std::vector<const StepType*>& table,
          const WorkerHooks& given, Events& told, EngineOptions chosen);

  RunFolder folder;
  Plan plan;
  const std::vector<const StepType*>& types;
  WorkerHooks hooks;
  Events& events;
  EngineOptions options;
  OpenedRun opened;
  Targets targets;
  std::vector<std::string> target_names;
  Redactor redactor;

  RunRecord& record() { return opened.record; }
  const StepRecord& record_of(std::size_t step) { return opened.record.step(plan.steps[step].name); }

  // The only way to the journal: the record is folded at once, is on disk after the next flush(), and
  // `released` is called then. Texts in `body` that could show a secret have been redacted by the caller.
  void write(Json body, std::function<void()> released = {});
  void flush();  // until nothing waits
  bool written() const { return opened.journal->empty(); }

  void take_targets();  // throws Held
  // Before anything is printed by a step: every secret of the plan that can be read without a program or a
  // person.
  void learn_secrets();

  std::map<std::string, Json> outputs_so_far();
  Json resolved_params(std::size_t step);  // with the outputs of finished steps put in

  Error redacted(const Error& error) const;
  Json redacted(const Json& value) const;

  // Records the end of the run and returns its exit code. `releases`: nothing more will come of it, its
  // targets are free and its journal is sealed.
  int end(const std::string& state, int exit, const Json& verdict, bool releases);
};

// Everything that the steps of a plan change, as far as it is known before they run.
std::vector<std::string> all_targets(const Plan& plan);

}  // namespace relight
