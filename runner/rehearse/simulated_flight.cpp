#include "runner/rehearse/simulated_flight.h"

#include <csignal>

#include "runner/engine/worker.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

bool has_effect(const std::string& op) {
  return op == "apply" || op == "undo";
}

// As far as the type and the parameters tell.
bool can_undo(const PlannedStep& step) {
  const Undo undo = step.step_type->undo;
  return undo != Undo::none && (undo != Undo::given || step.params->contains("undo"));
}

}  // namespace

std::chrono::milliseconds SimulatedFlight::some_time() {
  return std::chrono::milliseconds(1 + world_.simulation().below(2000));
}

SimulatedFlight::End SimulatedFlight::end_of(const Attempt& attempt) {
  SimulatedRun& simulation = world_.simulation();
  if (attempt.op == "undo" && !can_undo(context_.plan.steps[attempt.step])) return End::refused;
  if (attempt.op == "undo")
    return simulation.chance() < simulation.chances.undo_fails ? End::permanent : End::done;
  if (attempt.op != "apply") return End::done;
  if (const auto fails = simulation.fails.find(attempt.step);
      fails != simulation.fails.end() && !context_.record().in_rollback)
    return fails->second == ErrorKind::transient ? End::transient : End::permanent;
  double left = simulation.chance();
  const auto drawn = [&](double chance) { return (left -= chance) < 0; };
  const Chances& chances = simulation.chances;
  if (drawn(chances.transient)) return simulation.chance() < 0.3 ? End::timed_out : End::transient;
  if (drawn(chances.permanent)) return simulation.chance() < 0.2 ? End::needs_person : End::permanent;
  if (drawn(chances.broken_off)) return End::broken_off;
  return End::done;
}

void SimulatedFlight::spawn(std::size_t step) {
  const auto found = active_.find(step);
  if (found == active_.end()) return;
  Attempt& attempt = found->second;
  world_.happens();
  SimulatedRun& simulation = world_.simulation();
  attempt.began = simulation.now;
  if (simulation.watcher != nullptr) simulation.watcher->began(step, attempt.op, active_.size());
  Act act;
  act.end = end_of(attempt);
  act.phase = !has_effect(attempt.op)                         ? Phase::end
              : simulation.chance() < simulation.chances.note ? Phase::noting
                                                              : Phase::half;
  // What fails may have come to nothing, to a half, or to all of it and only the answer was lost.
  act.goal = act.end == End::done      ? Effect::whole
             : act.end == End::refused ? Effect::none
                                       : static_cast<Effect>(simulation.below(3));
  act.at = simulation.now + some_time();
  acts_[step] = act;
}

void SimulatedFlight::set(std::size_t step, const std::string& op, Effect effect) {
  SimulatedRun& simulation = world_.simulation();
  Effect& now = simulation.effects[step];
  if (op == "undo") {
    // Backwards: a half undo leaves a half effect.
    effect = effect == Effect::whole ? Effect::none : std::min(now, Effect::half);
    now = effect;
  } else {
    now = std::max(now, effect);  // converges from whatever is there
  }
  if (simulation.watcher != nullptr) simulation.watcher->changed(step, op, now);
}

void SimulatedFlight::step_on(std::size_t step, Act& act) {
  const std::string op = active_.at(step).op;
  switch (act.phase) {
    case Phase::noting:
      act.waits = true;
      act.phase = Phase::half;
      context_.write(
          {{"kind", "note"}, {"step", context_.plan.steps[step].name}, {"key", "before"}, {"value", "noted"}},
          [this, step] {
            if (const auto it = acts_.find(step); it != acts_.end()) it->second.waits = false;
          });
      break;
    case Phase::half:
      act.phase = Phase::whole;
      if (act.goal == Effect::none) break;
      world_.happens();
      set(step, op, Effect::half);
      break;
    case Phase::whole:
      act.phase = Phase::end;
      if (act.goal != Effect::whole) break;
      world_.happens();
      set(step, op, Effect::whole);
      break;
    case Phase::end:
      break;
  }
  act.at = world_.simulation().now + some_time();
}

void SimulatedFlight::conclude(Attempt& attempt, const Act& act) {
  SimulatedRun& simulation = world_.simulation();
  attempt.ended = true;
  const auto fail = [&](ErrorKind kind) {
    attempt.error = std::make_shared<const Json>(to_json(
        Error(kind, "cannot " + attempt.op, context_.plan.steps[attempt.step].name, "it was drawn so")));
  };
  const auto result = [&](Json value) { attempt.result = std::make_shared<const Json>(std::move(value)); };
  switch (act.end) {
    case End::transient:
      return fail(ErrorKind::transient);
    case End::permanent:
      return fail(ErrorKind::permanent);
    case End::needs_person:
      return fail(ErrorKind::needs_person);
    case End::refused:
      return fail(ErrorKind::refused);
    case End::broken_off:
      attempt.exit_code = 9;
      return;
    case End::timed_out:
      attempt.timed_out = attempt.told_to_stop = true;
      return;
    case End::done:
      break;
  }
  const PlannedStep& step = context_.plan.steps[attempt.step];
  Json outputs = Json::object();
  for (const Output& output : step.step_type->outputs) outputs[output.name] = "simulated";
  if (attempt.op == "apply") {
    result({{"outputs", outputs}, {"kept", Json::array()}});
  } else if (attempt.op == "recover" || attempt.op == "baseline") {
    const char* done = attempt.op == "baseline"                            ? "yes"
                       : !simulation.can_tell[attempt.step]                ? "unknown"
                       : simulation.effects[attempt.step] == Effect::whole ? "yes"
                                                                           : "no";
    result({{"done", done}, {"outputs", outputs}, {"kept", Json::array()}});
  } else if (attempt.op == "when") {
    result(true);
  } else {
    result(Json::array());
  }
}

std::vector<Attempt> SimulatedFlight::wait(std::optional<Clock::time_point> next, bool*) {
  world_.happens();
  SimulatedRun& simulation = world_.simulation();
  if (signals_seen_ == 0 && simulation.chance() < simulation.chances.signal) {
    signals_seen_ = 1;
    last_signal_ = SIGINT;
  }
  const auto earliest = [&] {
    auto found = acts_.end();
    for (auto it = acts_.begin(); it != acts_.end(); ++it)
      if (!it->second.waits && (found == acts_.end() || it->second.at < found->second.at)) found = it;
    return found;
  }();
  if (earliest == acts_.end() || (next && *next < earliest->second.at)) {
    if (next) simulation.now = std::max(simulation.now, *next);
    return {};
  }
  const std::size_t step = earliest->first;
  Act& act = earliest->second;
  simulation.now = std::max(simulation.now, act.at);
  if (act.phase != Phase::end) {
    step_on(step, act);
    return {};
  }
  Attempt attempt = std::move(active_.at(step));
  conclude(attempt, act);
  active_.erase(step);
  acts_.erase(step);
  std::vector<Attempt> over;
  over.push_back(std::move(attempt));
  return over;
}

}  // namespace relight
