#include "runner/engine/engine.h"

#include <fmt/core.h>
#include <unistd.h>

#include "runner/engine/context.h"
#include "runner/engine/flight.h"
#include "runner/engine/forward.h"
#include "runner/engine/scheduler.h"
#include "runner/engine/verdict.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"

namespace relight {

struct Engine::State {
  Context context;
  std::unique_ptr<Flight> in_flight;
  Flight& flight;
  Forward forward;

  State(World& world, Plan plan, Events& events, EngineOptions options)
      : context(world, std::move(plan), events, std::move(options)),
        in_flight(world.make_flight(context)),
        flight(*in_flight),
        forward(context, flight) {}

  bool interrupted() const { return flight.signals_seen() > 0; }

  void begin() {
    context.world.take_targets(context.target_names);
    if (context.options.amend) context.options.amend();
    flight.begin();
    if (context.opened.is_new) {
      context.write(opened_record(context.world.run(), context.plan.runbook, context.plan.digest));
    } else {
      context.write({{"kind", "resumed"}, {"program", "relight " RELIGHT_VERSION}, {"pid", getpid()}});
    }
    if (context.options.amended) context.write(*context.options.amended);
    for (const auto& [name, why] : context.options.skip) forward.skip(context.plan.index_of(name), why);
    context.flush();
  }

  void wait(bool at_terminal = false) {
    bool line = false;
    for (const Attempt& attempt : flight.wait(forward.next_retry(), at_terminal ? &line : nullptr))
      forward.conclude(attempt);
    if (line) forward.answer();
  }

  // Until what was begun has ended and is on disk.
  void finish_flight() {
    context.flush();
    while (flight.size() > 0) {
      wait();
      context.flush();
    }
  }

  void need_room() const {
    if (forward.no_room()) throw *forward.no_room();
  }

  // ---- forward
  // -----------------------------------------------------------------------------------------------------

  void go_forward() {
    forward.plan_from_record();
    for (;;) {
      forward.go();
      context.flush();
      if (flight.size() == 0 && (forward.all_settled() || forward.stuck())) return;
      // What the flush released is in flight now; what has come to its end without flying frees the next at
      // once.
      if (flight.size() > 0 || forward.next_retry() || !forward.asking().empty())
        wait(!forward.asking().empty());
    }
  }

  int run_forward() {
    if (context.opened.is_new) measure_baseline();
    watch();
    go_forward();
    context.flush();
    need_room();
    if (interrupted()) return end_interrupted();
    if (forward.needs_answer()) return end("failed", exit_needs_person, nullptr, false);
    if (forward.wants_rollback() && point_of_no_return(context.plan, context.record()) == nullptr) {
      context.write({{"kind", "rolling_back"}, {"to", ""}, {"by", "on_failure"}});
      return run_back();
    }
    if (forward.failed())
      return end("failed", a_person_is_needed() ? exit_needs_person : exit_failed, nullptr, false);
    if (!forward.all_settled()) {
      flight.end_watches();
      context.flush();
      return exit_waiting;
    }
    const Json verdict =
        verdict_of(context.plan, context.record(), context.world.wall(), context.world.boot_ms());
    return end("done", exit_of_done(verdict), verdict, true);
  }

  bool a_person_is_needed() {
    for (const auto& [name, step] : context.record().steps)
      if (step.state == StepRecord::State::failed && step.error &&
          step.error->kind == ErrorKind::needs_person)
        return true;
    return false;
  }

  int end(const std::string& state, int exit, const Json& verdict, bool releases) {
    flight.end_watches();
    return context.end(state, exit, verdict, releases);
  }

  void watch() {
    for (std::size_t i = 0; i < context.plan.steps.size(); ++i)
      if (context.plan.steps[i].watch.count() > 0) flight.watch(i);
  }

  int end_interrupted() {
    flight.end_watches();
    context.write({{"kind", "interrupted"}, {"signal", flight.last_signal()}});
    context.flush();
    return exit_interrupted;
  }

  // ---- back
  // --------------------------------------------------------------------------------------------------------

  // The step to undo next. One that has no way back at all is passed over and told at the end; one whose
  // undo failed stops the way back there: what lies before it may stand on it.
  std::optional<std::size_t> next_to_undo() {
    for (const std::size_t i : forward.not_undone()) {
      const auto& error = context.record_of(i).error;
      if (error && error->kind != ErrorKind::refused) return std::nullopt;
    }
    for (const std::size_t i : rollback_order(context.plan, context.record(), context.record().rollback_to))
      if (forward.not_undone().count(i) == 0) return i;
    return std::nullopt;
  }

  // What a person has put back by hand is undone: --done says so of a rollback, begun now or found begun.
  // Said of a step in doubt on the way forward, it means the opposite.
  void take_as_undone() {
    for (const std::size_t i : rollback_order(context.plan, context.record(), context.record().rollback_to))
      if (const std::string& name = context.plan.steps[i].name; context.options.done.count(name) > 0)
        context.write({{"kind", "undone"}, {"step", name}, {"by", "person"}});
  }

  int run_back() {
    forward.forget_failure();
    watch();
    for (auto next = next_to_undo(); next && !interrupted(); next = next_to_undo()) {
      forward.start(*next, "undo");
      need_room();
      finish_flight();
    }
    if (interrupted()) return end_interrupted();
    Json left = Json::array();
    for (const std::size_t i : rollback_order(context.plan, context.record(), context.record().rollback_to))
      left.push_back(context.plan.steps[i].name);
    const bool whole = context.record().rollback_to.empty();
    const Json failing = left.empty() && whole ? failing_after_rollback() : Json::array();
    if (interrupted()) return end_interrupted();
    const Json verdict = {{"not_undone", left}, {"failing", failing}};
    if (!left.empty() || !failing.empty()) return end("rollback-failed", exit_needs_person, verdict, false);
    if (!whole) return end("rolled-back-to", exit_done, verdict, false);
    const int exit = context.record().rollback_by_person ? exit_done : exit_rolled_back;
    return end("rolled-back", exit, verdict, true);
  }

  // ---- probes with proves = "both"
  // ---------------------------------------------------------------------------------

  std::vector<std::size_t> both_probes() {
    std::vector<std::size_t> probes;
    for (std::size_t i = 0; i < context.plan.steps.size(); ++i)
      if (context.plan.steps[i].proves == "both") probes.push_back(i);
    return probes;
  }

  // Once, before the first effect; one that needs an output of the run has no answer yet.
  void measure_baseline() {
    for (const std::size_t i : both_probes())
      if (outputs_used(*context.plan.steps[i].params).empty()) forward.look(i, "baseline");
    finish_flight();
  }

  Json failing_after_rollback() {
    Json failing = Json::array();
    for (const std::size_t i : both_probes()) {
      if (context.record_of(i).baseline != true || interrupted()) continue;
      forward.start(i, "apply");
      need_room();
      finish_flight();
      if (context.record_of(i).state != StepRecord::State::done)
        failing.push_back(context.plan.steps[i].name);
    }
    return failing;
  }
};

Engine::Engine(World& world, Plan plan, Events& events, EngineOptions options)
    : state_(std::make_unique<State>(world, std::move(plan), events, std::move(options))) {}

Engine::~Engine() = default;

const RunRecord& Engine::record() const {
  return state_->context.opened.record;
}

int Engine::run() {
  const bool back = record().in_rollback;
  state_->begin();
  if (!back) return state_->run_forward();
  state_->take_as_undone();
  return state_->run_back();
}

int Engine::rollback(const std::string& to) {
  Context& context = state_->context;
  need_way_back(context.plan, context.record(), to);
  context.world.need_unchanged_since(context.target_names);
  state_->begin();
  context.write({{"kind", "rolling_back"}, {"to", to}, {"by", "person"}});
  state_->take_as_undone();
  return state_->run_back();
}

int Engine::discard() {
  Context& context = state_->context;
  state_->flight.begin();
  for (std::size_t i = 0; i < context.plan.steps.size(); ++i) {
    if (!context.record_of(i).kept) continue;
    state_->forward.start(i, "discard");
    state_->need_room();
    state_->finish_flight();
  }
  const auto order = rollback_order(context.plan, context.record(), "");
  if (std::all_of(order.begin(), order.end(), [&](std::size_t i) { return context.record_of(i).discarded; }))
    context.world.free();
  context.world.seal();
  return state_->forward.not_undone().empty() ? exit_done : exit_failed;
}

}  // namespace relight
