#include "runner/engine/recovery.h"

#include <algorithm>
#include <unordered_map>

#include "runner/sys/json_whole.h"

namespace relight {
namespace {

using StepState = StepRecord::State;
using Run = RunRecord::State;

Error cannot_follow(const Json& record, const std::string& why) {
  std::string on = "a record";
  if (auto kind = record.find("kind"); kind != record.end() && kind->is_string())
    on = "`" + kind->get<std::string>() + "`";
  if (auto seq = record.find("seq"); seq != record.end()) on += ", record " + seq->dump();
  return Error(ErrorKind::needs_person, "the journal makes no sense", on, why,
               "keep the run's folder and report it as a fault of relight; settle what the run did by hand, "
               "then `relight abandon` it");
}

const Json& member(const Json& record, const char* name) {
  auto found = record.find(name);
  if (found == record.end()) throw cannot_follow(record, std::string("it has no `") + name + "`");
  return *found;
}

const std::string& text(const Json& record, const char* name) {
  const Json& value = member(record, name);
  if (!value.is_string()) throw cannot_follow(record, std::string("its `") + name + "` is not a text");
  return value.get_ref<const std::string&>();
}

bool truth(const Json& record, const char* name) {
  const Json& value = member(record, name);
  if (!value.is_boolean())
    throw cannot_follow(record, std::string("its `") + name + "` is neither true nor false");
  return value.get<bool>();
}

std::string optional_text(const Json& record, const char* name) {
  auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t boot_of(const Json& record) {
  auto boot = record.find("boot");
  return boot != record.end() && boot->is_number_integer() ? boot->get<std::int64_t>() : 0;
}

std::shared_ptr<const Json> value_of(const Json& record, const char* name) {
  auto found = record.find(name);
  if (found == record.end() || found->is_null()) return nullptr;
  return std::make_shared<Json>(*found);
}

Error error_of(const Json& record) {
  const Json& error = member(record, "error");
  if (!error.is_object()) throw cannot_follow(record, "its `error` is not an object");
  return Error(error_kind_named(optional_text(error, "kind")), optional_text(error, "what"),
               optional_text(error, "on"), optional_text(error, "why"), optional_text(error, "hint"));
}

// One record at a time, on the record that it changes.
struct Fold {
  RunRecord& run;
  const Json& record;
  const bool live;
  bool failure = false;  // the record is a step's failure that is not tried again

  StepRecord& step() { return run.steps[text(record, "step")]; }

  void set(StepRecord& step, StepState state) {
    auto in_flight = [](StepState s) { return s == StepState::running || s == StepState::in_doubt; };
    run.in_flight += in_flight(state) - in_flight(step.state);
    run.asking += (state == StepState::waiting) - (step.state == StepState::waiting);
    step.state = state;
  }

  void end(StepRecord& step, StepState state) {
    set(step, state);
    step.finished_at = optional_text(record, "wall");
    step.finished_boot_ms = boot_of(record);
  }

  void begin(StepRecord& step) {
    if (!step.started_at.empty()) return;
    step.started_at = optional_text(record, "wall");
    step.started_boot_ms = boot_of(record);
  }

  // Nothing of what stood before holds for what comes now. Attempts are counted on.
  void forget(StepRecord& step) {
    step.started_at.clear();
    step.finished_at.clear();
    step.started_boot_ms = step.finished_boot_ms = 0;
    step.outputs.reset();
    step.why_skipped.clear();
  }

  void opened() {
    const Json& format = member(record, "format");
    if (format != 1) throw cannot_follow(record, "it is of format " + format.dump());
    run.run = text(record, "run");
    run.runbook = text(record, "runbook");
    run.plan_digest = text(record, "plan");
    run.program = text(record, "program");
    run.drill = truth(record, "drill");
    run.opened_at = optional_text(record, "wall");
    run.opened_boot_ms = boot_of(record);
  }

  void resumed() {
    run.program = text(record, "program");
    run.stopped = false;
    run.ended_at.clear();
    run.exit_code = 0;
    run.verdict.reset();
    for (auto& [name, step] : run.steps) {
      if (step.state == StepState::running) set(step, StepState::in_doubt);
      if (step.state == StepState::waiting) set(step, StepState::pending);  // it is asked for again
    }
    for (auto& [name, watched] : run.watched) watched.process_gone(run.last_wall);
  }

  void baseline() { step().baseline = truth(record, "passed"); }

  void watched() {
    Watched& watched = run.watched[text(record, "step")];
    if (member(record, "up").is_null()) return watched.up.reset();
    if (!truth(record, "up")) return watched.answers_no_more(text(record, "from"));
    std::optional<std::chrono::milliseconds> length;
    if (record.contains("ms")) length = std::chrono::milliseconds(record["ms"].get<std::int64_t>());
    watched.answers_again(optional_text(record, "from"), text(record, "to"), length, run.in_rollback);
  }

  void approved() {
    StepRecord& s = step();
    s.approved_by = text(record, "by");
    if (s.state == StepState::waiting) set(s, StepState::pending);  // `finished` makes it done
  }

  void waiting() {
    StepRecord& s = step();
    set(s, StepState::waiting);
    begin(s);
  }

  void when() { step().when = truth(record, "value"); }

  void started() {
    const std::string& op = text(record, "op");
    StepRecord& s = step();
    if (op != "discard" && run.stopped)
      throw cannot_follow(record, "the run had stopped, and nobody resumed it");
    s.op = op;
    if (op == "discard") return;
    if (op == "apply") {
      if (s.state == StepState::undone || s.state == StepState::skipped) forget(s);
      if (s.state == StepState::undone) {
        s.notes = StepRecord::no_notes();
        s.discarded = false;
      }
      s.outputs.reset();
      ++s.attempts;
      s.touched = true;
    } else if (op != "check" && op != "undo") {
      throw cannot_follow(record, "its `op` is unknown: " + op);
    }
    if (op != "undo") begin(s);
    set(s, live ? StepState::running : StepState::in_doubt);
  }

  void note() {
    std::shared_ptr<const Json>& notes = step().notes;
    const std::string& key = text(record, "key");
    // Copied only while somebody else looks at it: a step may make a thousand notes.
    if (notes.use_count() > 1) notes = std::make_shared<Json>(*notes);
    const_cast<Json&>(*notes)[key] = member(record, "value");
  }

  void finished() {
    StepRecord& s = step();
    if (text(record, "by") == "apply" && s.state != StepState::running && s.state != StepState::in_doubt)
      throw cannot_follow(record, "the step " + text(record, "step") + " was not started");
    s.outputs = value_of(record, "outputs");
    s.error.reset();
    s.op.clear();
    s.undo_failed = false;
    end(s, StepState::done);
  }

  void failed() {
    StepRecord& s = step();
    s.op = text(record, "op");
    s.error = error_of(record);
    if (s.op == "discard") return;
    failure = !truth(record, "again");
    if (s.op == "undo") s.undo_failed = failure;
    // On the way forward an undo clears the way for a fresh apply: where it failed, that way is not clear.
    const bool halfway = s.op == "undo" && (!failure || !run.in_rollback);
    set(s, halfway ? StepState::in_doubt : failure ? StepState::failed : StepState::pending);
  }

  void skipped() {
    StepRecord& s = step();
    s.why_skipped = text(record, "why");
    s.outputs = value_of(record, "outputs");
    // In a rollback a person says that this step's change may stay.
    if (run.in_rollback) s.touched = s.undo_failed = false;
    end(s, StepState::skipped);
  }

  void settled() { step(); }

  void undone() {
    StepRecord& s = step();
    set(s, StepState::undone);
    s.op.clear();
    s.touched = s.undo_failed = false;
  }

  void kept() {
    std::shared_ptr<const Json> things = value_of(record, "things");
    step().kept = things && !things->empty() ? things : nullptr;
  }

  void discarded() {
    StepRecord& s = step();
    s.kept.reset();
    s.op.clear();
    s.discarded = true;
  }

  void amended() {
    const Json& stay = member(record, "kept");
    if (!stay.is_array()) throw cannot_follow(record, "its `kept` is not a list");
    run.plan_digest = text(record, "plan");
    for (auto& [name, step] : run.steps) {
      bool settled = step.state == StepState::done || step.state == StepState::skipped ||
                     step.state == StepState::failed;
      if (!settled || std::find(stay.begin(), stay.end(), name) != stay.end()) continue;
      set(step, StepState::pending);
      forget(step);
      step.when.reset();
      step.approved_by.clear();
    }
  }

  void rolling_back() {
    run.rollback_to = text(record, "to");
    run.rollback_by_person = optional_text(record, "by") == "person";
    run.rollback_failed = false;
    run.in_rollback = true;
    run.stopped = false;
  }

  void interrupted() {
    run.stopped = true;
    run.state = Run::interrupted;
  }

  void ended() {
    static const std::unordered_map<std::string, Run> states = {
        {"done", Run::done},
        {"failed", Run::failed},
        {"rolled-back", Run::rolled_back},
        {"rolled-back-to", Run::interrupted},
        {"rollback-failed", Run::failed},
        {"abandoned", Run::abandoned},
    };
    const std::string& name = text(record, "state");
    auto state = states.find(name);
    if (state == states.end()) throw cannot_follow(record, "its `state` is unknown: " + name);
    const Json& exit = member(record, "exit");
    if (!exit.is_number_integer()) throw cannot_follow(record, "its `exit` is not a number");
    run.state = state->second;
    run.stopped = true;
    run.rollback_failed = name == "rollback-failed";
    run.in_rollback = run.rollback_failed;
    run.exit_code = exit;
    run.ended_at = optional_text(record, "wall");
    run.verdict = value_of(record, "verdict");
  }

  void conclude() {
    if (run.stopped) return;
    if (run.asking > 0 && run.in_flight == 0 && !run.in_rollback)
      run.state = Run::waiting;
    else if (live)
      run.state = run.in_rollback ? Run::rolling_back : Run::running;
    else
      run.state = failure && run.in_flight == 0 && !run.in_rollback ? Run::failed : Run::interrupted;
  }
};

using Handler = void (Fold::*)();
const std::unordered_map<std::string, Handler> handlers = {
    {"opened", &Fold::opened},
    {"resumed", &Fold::resumed},
    {"baseline", &Fold::baseline},
    {"watched", &Fold::watched},
    {"approved", &Fold::approved},
    {"waiting", &Fold::waiting},
    {"when", &Fold::when},
    {"started", &Fold::started},
    {"note", &Fold::note},
    {"finished", &Fold::finished},
    {"failed", &Fold::failed},
    {"skipped", &Fold::skipped},
    {"settled", &Fold::settled},
    {"undone", &Fold::undone},
    {"kept", &Fold::kept},
    {"discarded", &Fold::discarded},
    {"amended", &Fold::amended},
    {"rolling_back", &Fold::rolling_back},
    {"interrupted", &Fold::interrupted},
    {"ended", &Fold::ended},
};

}  // namespace

const std::shared_ptr<const Json>& StepRecord::no_notes() {
  static const std::shared_ptr<const Json> none = std::make_shared<Json>(Json::object());
  return none;
}

const StepRecord& RunRecord::step(const std::string& name) const {
  static const StepRecord none;
  auto found = steps.find(name);
  return found == steps.end() ? none : found->second;
}

std::map<std::string, Json> outputs_of(const RunRecord& run) {
  std::map<std::string, Json> outputs;
  for (const auto& [name, step] : run.steps)
    if (step.outputs && (step.state == StepState::done || step.state == StepState::skipped))
      outputs[name] = *step.outputs;
  return outputs;
}

const char* name_of(StepRecord::State state) {
  switch (state) {
    case StepState::pending:
      return "pending";
    case StepState::running:
      return "running";
    case StepState::waiting:
      return "waiting";
    case StepState::in_doubt:
      return "in-doubt";
    case StepState::failed:
      return "failed";
    case StepState::done:
      return "done";
    case StepState::skipped:
      return "skipped";
    case StepState::undone:
      return "undone";
  }
  return "pending";
}

const char* name_of(RunRecord::State state) {
  switch (state) {
    case Run::running:
      return "running";
    case Run::waiting:
      return "waiting";
    case Run::interrupted:
      return "interrupted";
    case Run::failed:
      return "failed";
    case Run::done:
      return "done";
    case Run::rolling_back:
      return "rolling-back";
    case Run::rolled_back:
      return "rolled-back";
    case Run::abandoned:
      return "abandoned";
  }
  return "running";
}

RunRecord fold(const std::vector<Json>& records, bool live) {
  RunRecord run;
  if (!live) run.state = Run::interrupted;
  for (const Json& record : records) fold_one(run, record, live);
  return run;
}

void fold_one(RunRecord& run, const Json& record, bool live) {
  if (!record.is_object()) throw cannot_follow(Json::object(), "it is not an object");
  const std::string& kind = text(record, "kind");
  auto handler = handlers.find(kind);
  if (handler == handlers.end()) throw cannot_follow(record, "its kind is unknown to this program");
  // An opened run has a name, so an empty one tells the first record.
  if ((kind == "opened") != run.run.empty())
    throw cannot_follow(record,
                        run.run.empty() ? "a journal begins with `opened`" : "the run is open already");
  Fold fold{run, record, live};
  (fold.*handler->second)();
  fold.conclude();
  run.last_wall = optional_text(record, "wall");
}

}  // namespace relight
