#include "runner/engine/forward.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "runner/engine/worker.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

using std::chrono::milliseconds;

// Room that a step may need for its last records: outputs, notes and an error, escaped.
constexpr std::uint64_t room_of_a_step = 1u << 20;
constexpr std::size_t most_outputs = 256u << 10;

bool has_effects(const std::string& op) {
  return op == "apply" || op == "undo" || op == "discard";
}

}  // namespace

Forward::Forward(Context& context, Flight& flight) : context_(context), flight_(flight) {}

void Forward::plan_from_record() {
  scheduler_.emplace(context_.plan, context_.record());
}

void Forward::settled(std::size_t step) {
  if (scheduler_) scheduler_->settled(step);
}

// After a failure, a signal, a "no" or on a full disk no new step begins; what is in flight comes to its end.
bool Forward::may_go() const {
  return !failed_ && !refused_ && !no_room_ && flight_.signals_seen() == 0;
}

void Forward::go() {
  const std::size_t most = std::min(flight_.most(), static_cast<std::size_t>(context_.options.jobs));
  const std::vector<std::size_t> ready(scheduler_->ready().begin(), scheduler_->ready().end());
  for (const std::size_t i : ready) {
    if (!may_go() || flight_.size() >= most) return;
    if (flight_.has(i) || asking_ == context_.plan.steps[i].name) continue;
    if (const auto at = retry_at_.find(i); at != retry_at_.end() && at->second > context_.world.now())
      continue;
    advance(i);
  }
}

bool Forward::stuck() const {
  if (!may_go()) return true;
  for (const std::size_t i : scheduler_->ready())
    if (context_.record_of(i).state != StepRecord::State::waiting) return false;
  return asking_.empty();
}

std::optional<Clock::time_point> Forward::next_retry() const {
  std::optional<Clock::time_point> next;
  if (may_go())
    for (const auto& [i, at] : retry_at_)
      if (!flight_.has(i) && at > context_.world.now() && (!next || at < *next)) next = at;
  return next;
}

// The next thing of a step that is ready and idle. Steps whose `when` said no and approvals never get as far
// as start().
void Forward::advance(std::size_t i) {
  const PlannedStep& step = context_.plan.steps[i];
  const StepRecord& past = context_.record_of(i);
  if (past.state == StepRecord::State::in_doubt) {
    if (context_.options.done.count(step.name) > 0)
      finish(i, past.attempts, "person", step.defaults ? *step.defaults : Json::object(), nullptr);
    else
      look(i, "recover");
  } else if (step.when && !past.when) {
    if (step.when->is_boolean())
      context_.write({{"kind", "when"}, {"step", step.name}, {"value", *step.when}});
    else
      return look(i, "when");
    advance(i);
  } else if (past.when && !*past.when) {
    skip(i, "its `when` said no");
  } else if (step.type == approve_type) {
    approve(i);
  } else {
    start(i, "apply");
  }
}

void Forward::start(std::size_t i, const std::string& op) {
  const PlannedStep& step = context_.plan.steps[i];
  const int number = context_.record_of(i).attempts + (op == "apply" ? 1 : 0);
  const Attempt& attempt = flight_.add(i, op, number);
  if (const auto missing = outputs_used(*attempt.params); op == "apply" && !missing.empty()) {
    flight_.forget(i);
    return fail(i, op, number,
                Error(ErrorKind::permanent, "cannot begin", step.name,
                      "it needs an output of " + *missing.begin() + ", which is not done",
                      "mend that step and resume, or give it `defaults`"));
  }
  try {
    context_.opened.journal->reserve(room_of_a_step);
  } catch (const Error& error) {
    // What is in flight has its room: it comes to its end, and is recorded.
    flight_.forget(i);
    no_room_ = error;
    return;
  }
  context_.write({{"kind", "started"}, {"step", step.name}, {"attempt", number}, {"op", op}},
                 [this, i, number, op] {
                   if (!told_changed_) context_.world.changed();
                   told_changed_ = true;
                   context_.events.step_started(context_.plan.steps[i], number, op);
                   flight_.spawn(i);
                 });
}

void Forward::look(std::size_t i, const std::string& op) {
  flight_.add(i, op, context_.record_of(i).attempts);
  flight_.spawn(i);
}

void Forward::skip(std::size_t i, const std::string& why) {
  const PlannedStep& step = context_.plan.steps[i];
  context_.write({{"kind", "skipped"},
                  {"step", step.name},
                  {"why", why},
                  {"outputs", step.defaults ? *step.defaults : Json::object()}});
  context_.events.step_skipped(step, why);
  settled(i);
}

void Forward::finish(std::size_t i, int attempt, const char* by, Json outputs, const Json& kept) {
  const std::string& name = context_.plan.steps[i].name;
  const std::string text = outputs.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > most_outputs)
    return fail(i, "apply", attempt,
                Error(ErrorKind::permanent, "cannot record the outputs", name,
                      sys::show_size(text.size()) + " are more than the journal takes", "output less"));
  context_.write({{"kind", "finished"},
                  {"step", name},
                  {"attempt", attempt},
                  {"outputs", context_.redacted(Json::parse(text))},
                  {"by", by}});
  record_kept(i, kept);
  settled(i);
}

void Forward::record_kept(std::size_t i, const Json& things) {
  if (things.is_array() && (!things.empty() || context_.record_of(i).kept))
    context_.write({{"kind", "kept"}, {"step", context_.plan.steps[i].name}, {"things", things}});
}

void Forward::fail(std::size_t i, const std::string& op, int attempt, const Error& raw) {
  const PlannedStep& step = context_.plan.steps[i];
  const Error error = context_.redacted(raw);
  const bool again =
      op == "apply" && error.kind == ErrorKind::transient && may_go() && ++tries_[i] < step.attempts;
  context_.write({{"kind", "failed"},
                  {"step", step.name},
                  {"attempt", attempt},
                  {"op", op},
                  {"error", to_json(error)},
                  {"again", again}});
  if (again) {
    const milliseconds wait =
        std::min<milliseconds>(step.backoff * (1 << std::min(tries_[i] - 1, 16)), std::chrono::seconds(60));
    retry_at_[i] = context_.world.now() + wait;
    context_.events.retry_in(step, error, wait);
    return;
  }
  if (op == "undo" || op == "discard") {
    not_undone_.insert(i);
    if (!context_.record().in_rollback) failed_ = true;
    return;
  }
  const OnFailure policy = step.on_failure.value_or(context_.plan.on_failure);
  if (policy == OnFailure::go_on) return settled(i);
  failed_ = true;
  if (policy == OnFailure::rollback) wants_rollback_ = true;
}

// ---- approvals
// -----------------------------------------------------------------------------------------------------

void Forward::approve(std::size_t i) {
  const PlannedStep& step = context_.plan.steps[i];
  if (context_.options.approvals.count(step.name) > 0) return approved(i, "--approve");
  const std::string prompt = step.params->value("prompt", "");
  if (context_.record_of(i).state != StepRecord::State::waiting)
    context_.write({{"kind", "waiting"}, {"step", step.name}, {"prompt", prompt}});
  if (!context_.events.can_ask() || !asking_.empty()) return;
  asking_ = step.name;
  context_.events.ask(step.name, prompt);
}

void Forward::approved(std::size_t i, const std::string& by) {
  context_.write({{"kind", "approved"}, {"step", context_.plan.steps[i].name}, {"by", by}});
  finish(i, 1, "person", Json::object(), nullptr);
  context_.events.step_ended(context_.plan.steps[i], context_.record_of(i), "apply", milliseconds(0));
}

void Forward::answer() {
  std::string line;
  char c;
  while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') line += c;
  const std::size_t i = context_.plan.index_of(asking_);
  asking_.clear();
  if (line == "yes" || line == "y")
    approved(i, "at the terminal");
  else
    refused_ = true;
}

// ---- what came of an attempt
// ---------------------------------------------------------------------------------------

void Forward::conclude(const Attempt& attempt) {
  const std::size_t i = attempt.step;
  const PlannedStep& step = context_.plan.steps[i];
  if (has_effects(attempt.op)) context_.opened.journal->give_back(room_of_a_step);
  // Ended by a signal to relight: it stays as `started`, in doubt for the next resume.
  if (attempt.told_to_stop && !attempt.timed_out && !attempt.result && !attempt.error) return;
  try {
    take_result(attempt, result_of(attempt));
  } catch (const Error& error) {
    if (attempt.op == "baseline")
      context_.write({{"kind", "baseline"}, {"step", step.name}, {"passed", false}});
    else
      fail(i, has_effects(attempt.op) ? attempt.op : "apply", attempt.number, error);
  }
  if (has_effects(attempt.op))
    context_.events.step_ended(
        step, context_.record_of(i), attempt.op,
        std::chrono::duration_cast<milliseconds>(context_.world.now() - attempt.began));
}

void Forward::take_result(const Attempt& attempt, const Json& result) {
  const std::string& name = context_.plan.steps[attempt.step].name;
  if (attempt.op == "when") {
    context_.write({{"kind", "when"}, {"step", name}, {"value", result}});
  } else if (attempt.op == "baseline") {
    context_.write({{"kind", "baseline"}, {"step", name}, {"passed", result.value("done", "") == "yes"}});
  } else if (attempt.op == "recover") {
    settle_doubt(attempt.step, attempt.number, result);
  } else if (attempt.op == "apply") {
    finish(attempt.step, attempt.number, "apply", result.at("outputs"), result.at("kept"));
  } else if (attempt.op == "undo") {
    context_.write({{"kind", "undone"}, {"step", name}});
    record_kept(attempt.step, result);
  } else if (attempt.op == "discard") {
    context_.write({{"kind", "discarded"}, {"step", name}});
  }
}

Json Forward::result_of(const Attempt& attempt) {
  const PlannedStep& step = context_.plan.steps[attempt.step];
  const std::string see_log =
      "`relight log " + context_.world.run() + " " + step.name + "` shows how far it came";
  if (attempt.timed_out)
    throw Error(ErrorKind::transient, "the step was ended", step.name,
                "it took longer than its timeout of " + sys::show_duration(step.timeout), see_log);
  if (attempt.error) throw error_from_json(*attempt.error);
  if (!attempt.not_started.empty())
    throw Error(ErrorKind::permanent, "cannot start the program", step.name, attempt.not_started,
                "see that it is installed and may be run");
  if (attempt.is_program) {
    const Secrets none;
    const Json outputs =
        step.step_type->make()->child_done(Params(step.step_type->fields, *attempt.params, none),
                                           attempt.exit_code, context_.redactor.redact(attempt.stdout_tail));
    return {{"outputs", outputs}, {"kept", Json::array()}};
  }
  if (attempt.result) return *attempt.result;
  throw Error(ErrorKind::permanent, "the step broke off", step.name,
              fmt::format("its process ended with {} before it was done", attempt.exit_code), see_log);
}

// What earlier attempts left is gone. Reality has been asked; where it does not tell, the type's policy does.
void Forward::settle_doubt(std::size_t i, int attempt, const Json& result) {
  const PlannedStep& step = context_.plan.steps[i];
  context_.write({{"kind", "settled"}, {"step", step.name}});
  const std::string done = result.value("done", "unknown");
  // A probe is measured anew, hold and all.
  if (done == "yes" && !step.step_type->is_probe)
    return finish(i, attempt, "check", result.at("outputs"), result.at("kept"));
  if (!may_go()) return;  // another failed meanwhile: it stays in doubt, for the next resume or a rollback
  const InDoubt policy = step.in_doubt.value_or(step.step_type->in_doubt);
  if (policy == InDoubt::again || done == "no" || context_.options.again.count(step.name) > 0) {
    start(i, "apply");
  } else if (policy == InDoubt::undo) {
    start(i, "undo");
  } else {
    needs_answer_ = failed_ = true;
  }
}

}  // namespace relight
