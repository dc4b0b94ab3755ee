#include "runner/engine/context.h"

#include <fmt/core.h>

#include "runner/engine/secrets.h"
#include "runner/journal/reader.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

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

Context::Context(RunFolder run_folder, Plan run_plan, const std::vector<const StepType*>& table,
                 const WorkerHooks& given, Events& told, EngineOptions chosen)
    : folder(std::move(run_folder)),
      plan(std::move(run_plan)),
      types(table),
      hooks(given),
      events(told),
      options(std::move(chosen)),
      opened(open_run(folder)),
      target_names(all_targets(plan)) {}

void Context::write(Json body, std::function<void()> released) {
  body["wall"] = sys::show_time(sys::now());
  body["boot"] = sys::boot_time().count();
  fold_one(record(), body, true);
  opened.journal->add(body, std::move(released));
}

void Context::flush() {
  while (!opened.journal->empty()) opened.journal->flush();
}

void Context::take_targets() {
  const auto holder = targets.take(target_names, folder.id(), folder.state_folder());
  if (!holder) return;
  throw Held(ErrorKind::refused, "cannot take a target", holder->target,
             fmt::format("run {} of {} owns it", holder->run, holder->user), way_past(*holder));
}

void Context::learn_secrets() {
  const std::function<void(const Json&)> learn = [&](const Json& value) {
    if (is_secret(value) && is_plain_reference(value["$secret"])) {
      try {
        redactor.add(read_secret(value["$secret"], options.asked).view());
      } catch (const Error&) {
        return;  // told by the step that needs it
      }
    } else if (value.is_structured()) {
      for (const Json& part : value) learn(part);
    }
  };
  for (const PlannedStep& step : plan.steps) learn(*step.params);
  for (const auto& [name, bytes] : options.asked) redactor.add(bytes);
}

std::map<std::string, Json> Context::outputs_so_far() {
  std::map<std::string, Json> outputs;
  for (const auto& [name, step] : record().steps)
    if (step.outputs && (step.state == StepRecord::State::done || step.state == StepRecord::State::skipped))
      outputs[name] = *step.outputs;
  return outputs;
}

Json Context::resolved_params(std::size_t i) {
  const PlannedStep& step = plan.steps[i];
  if (outputs_used(*step.params).empty()) return *step.params;
  return resolve(*step.params, outputs_so_far());
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
  if (releases) {
    std::vector<std::string> owned = target_names;
    // An amendment may have left out a target that the run took at its start.
    if (folder.was_amended())
      for (const TargetHolder& one : Targets::of(folder.id())) owned.push_back(one.target);
    Targets::release(owned, folder.id(), state == "rolled-back");
    seal_journal(folder.journal());
  }
  return exit;
}

}  // namespace relight
