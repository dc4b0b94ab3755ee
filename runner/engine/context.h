// What every part of the engine shares: the world, the plan, the run's record, and the one way to write to
// it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/engine/engine.h"
#include "runner/engine/world.h"
#include "runner/step/redactor.h"

namespace relight {

struct Context {
  Context(World& stands_on, Plan run_plan, Events& told, EngineOptions chosen);

  World& world;
  Plan plan;
  Events& events;
  EngineOptions options;
  OpenedRun opened;
  std::vector<std::string> target_names;
  Redactor redactor;

  RunRecord& record() { return opened.record; }
  const StepRecord& record_of(std::size_t step) { return opened.record.step(plan.steps[step].name); }

  // The only way to the journal: the record is folded at once, is on disk after the next flush(), and
  // `released` is called then. Texts in `body` that could show a secret have been redacted by the caller.
  void write(Json body, std::function<void()> released = {});
  void flush();  // until nothing waits
  bool written() const { return opened.journal->empty(); }

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
