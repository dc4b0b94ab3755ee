#include "runner/engine/context.h"

#include "runner/step/value.h"
#include "runner/sys/json_whole.h"

namespace relight {

std::vector<std::string> all_targets(const Plan& plan) {
  std::vector<std::string> targets;
  const Secrets none;
  for (const PlannedStep& step : plan.steps) {
    if (step.step_type->make == nullptr) continue;
    const Params params(step.step_type->fields, *step.params, none);
    for (std::string& target : step.step_type->make()->targets(params)) targets.push_back(std::move(target));
  }
  return targets;
}

Context::Context(World& stands_on, Plan run_plan, Events& told, EngineOptions chosen)
    : world(stands_on),
      plan(std::move(run_plan)),
      events(told),
      options(std::move(chosen)),
      opened(world.open()),
      target_names(all_targets(plan)) {}

void Context::write(Json body, std::function<void()> released) {
  body["wall"] = world.wall();
  body["boot"] = world.boot_ms();
  fold_one(record(), body, true);
  opened.journal->add(body, std::move(released));
}

void Context::flush() {
  while (!opened.journal->empty()) opened.journal->flush();
}

Json Context::resolved_params(std::size_t i) {
  const PlannedStep& step = plan.steps[i];
  if (outputs_used(*step.params).empty()) return *step.params;
  return resolve(*step.params, outputs_of(record()));
}

Error Context::redacted(const Error& error) const {
  return Error(error.kind, redactor.redact(error.failed), redactor.redact(error.on),
               redactor.redact(error.why), redactor.redact(error.hint));
}

// Text by text: a replacement in the JSON's own text could break it.
Json Context::redacted(const Json& value) const {
  if (redactor.empty()) return value;
  if (value.is_string()) return redactor.redact(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value;
  Json copy = value.is_array() ? Json::array() : Json::object();
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (value.is_array())
      copy.push_back(redacted(*it));
    else
      copy[redactor.redact(it.key())] = redacted(*it);
  }
  return copy;
}

int Context::end(const std::string& state, int exit, const Json& verdict, bool releases) {
  write({{"kind", "ended"}, {"state", state}, {"exit", exit}, {"verdict", verdict}});
  flush();
  if (!releases) return exit;
  try {
    world.release(target_names, state == "rolled-back");
    world.seal();
  } catch (const Error& error) {
    // The run has ended, whatever becomes of this: a later command makes it up.
    events.trouble(Error(error.kind, error.failed, error.on, error.why,
                         "the run has ended all the same; once that is mended `relight resume " +
                             world.run() + "` gives back what it still holds"));
  }
  return exit;
}

}  // namespace relight
