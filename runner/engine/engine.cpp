#include "runner/engine/engine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "runner/engine/attempt.h"
#include "runner/engine/opening.h"
#include "runner/engine/scheduler.h"
#include "runner/engine/secrets.h"
#include "runner/engine/targets.h"
#include "runner/engine/verdict.h"
#include "runner/journal/reader.h"
#include "runner/step/failpoint.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

using std::chrono::milliseconds;

// Room that a step may need for its last records: outputs, notes and an error, escaped.
constexpr std::uint64_t room_of_a_step = 1u << 20;
constexpr std::size_t most_outputs = 256u << 10;
constexpr milliseconds grace{5000};

sys::Fd signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  // A lost terminal stops nothing: what is shown there is lost, the journal has it all.
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return sys::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

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

}  // namespace

struct Engine::State {
  RunFolder folder;
  Plan plan;
  const std::vector<const StepType*>& types;
  WorkerHooks hooks;
  Events& events;
  EngineOptions options;

  OpenedRun opened;
  std::vector<std::string> target_names;
  Targets targets;
  sys::Fd signals;
  std::optional<sys::Keeper> keeper;
  Redactor redactor;

  std::optional<Scheduler> scheduler;
  std::map<std::size_t, Attempt> active;
  std::map<std::size_t, int> tries;  // in this process: a resume gives a fresh budget
  std::map<std::size_t, Clock::time_point> retry_at;
  std::set<std::size_t> not_undone;  // tried in this rollback, in vain
  bool failed = false;               // no new step starts
  bool wants_rollback = false;
  int signals_seen = 0;
  int last_signal = 0;
  std::string asking;  // the approval that is asked for at the terminal
  bool told_changed = false;

  State(RunFolder run_folder, Plan run_plan, const std::vector<const StepType*>& table,
        const WorkerHooks& given, Events& told, EngineOptions chosen)
      : folder(std::move(run_folder)),
        plan(std::move(run_plan)),
        types(table),
        hooks(given),
        events(told),
        options(std::move(chosen)),
        opened(open_run(folder)),
        signals(signal_descriptor()) {}

  RunRecord& record() { return opened.record; }
  const StepRecord& record_of(std::size_t i) { return record().step(plan.steps[i].name); }

  // ---- the one place where something is recorded
  // -------------------------------------------------------------------

  void write(Json body, std::function<void()> released = {}) {
    body["wall"] = sys::show_time(sys::now());
    body["boot"] = sys::boot_time().count();
    fold_one(record(), body, true);
    opened.journal->add(body, std::move(released));
  }

  void flush() {
    while (!opened.journal->empty()) opened.journal->flush();
  }

  // ---- opening
  // -----------------------------------------------------------------------------------------------------

  void take_targets() {
    target_names = all_targets(plan);
    if (const auto holder = targets.take(target_names, folder.id(), folder.state_folder()))
      throw Held(
          ErrorKind::refused, "cannot take a target", holder->target,
          fmt::format("run {} of {} owns it", holder->run, holder->user),
          fmt::format("finish it (relight --state {} resume {}), roll it back, or `relight abandon {}`",
                      holder->state_folder, holder->run, holder->run));
  }

  // Before anything is printed by a step: every secret of the plan that can be read without a program or a
  // person.
  void learn_secrets() {
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

  void start_keeper() {
    keeper.emplace(sys::Keeper::start([this](int socket) { return serve_worker(socket, types, hooks); },
                                      {opened.lock.fd(), opened.alive.fd()}));
  }

  void begin() {
    take_targets();
    start_keeper();
    learn_secrets();
    if (opened.is_new) {
      write({{"kind", "opened"},
             {"format", 1},
             {"program", "relight " RELIGHT_VERSION},
             {"run", folder.id()},
             {"runbook", plan.runbook},
             {"plan", plan.digest},
             {"drill", false}});
    } else {
      write({{"kind", "resumed"}, {"program", "relight " RELIGHT_VERSION}, {"pid", getpid()}});
    }
    if (options.amended) write(*options.amended);
    for (const auto& [name, why] : options.skip) skip(plan.index_of(name), why);
  }

  // ---- requests
  // ----------------------------------------------------------------------------------------------------

  std::map<std::string, Json> outputs_so_far() {
    std::map<std::string, Json> outputs;
    for (const auto& [name, step] : record().steps)
      if (step.outputs && (step.state == StepRecord::State::done || step.state == StepRecord::State::skipped))
        outputs[name] = *step.outputs;
    return outputs;
  }

  Json resolved_params(std::size_t i) {
    const PlannedStep& step = plan.steps[i];
    if (outputs_used(*step.params).empty()) return *step.params;
    return resolve(*step.params, outputs_so_far());
  }

  std::string tag(const Attempt& attempt) {
    return fmt::format("{}/{}/{}", folder.id(), plan.steps[attempt.step].name, attempt.number);
  }

  Json request_for(const Attempt& attempt) {
    const PlannedStep& step = plan.steps[attempt.step];
    const StepRecord& past = record().step(step.name);
    Json request = {{"op", attempt.op},
                    {"run", folder.id()},
                    {"step", step.name},
                    {"type", step.type},
                    {"attempt", attempt.number},
                    {"notes", past.notes ? *past.notes : Json::object()},
                    {"outputs", past.outputs ? *past.outputs : Json(nullptr)},
                    {"params", attempt.params ? *attempt.params : Json::object()},
                    {"as", step.as},
                    {"asked", options.asked},
                    {"folder", folder.frozen_folder()},
                    {"digest", plan.digest}};
    if (attempt.op == "when" || step.type == script_type) request["all_outputs"] = outputs_so_far();
    if (attempt.op == "baseline") request["op"] = "recover";
    if (attempt.op == "apply" && options.preview_first.count(step.name) > 0) request["preview_first"] = true;
    return request;
  }

  // The program of a step that needs no worker: plain secrets only, and nothing to look at first.
  std::optional<Child> child_of(const Attempt& attempt) {
    const PlannedStep& step = plan.steps[attempt.step];
    if (attempt.op != "apply" || step.step_type->make == nullptr || step.type == script_type ||
        options.preview_first.count(step.name) > 0)
      return std::nullopt;
    Secrets secrets;
    for (const std::string& name : secrets_used(*attempt.params)) {
      const std::size_t colon = name.find(':');
      const Json reference = {{name.substr(0, colon), name.substr(colon + 1)}};
      if (!is_plain_reference(reference)) return std::nullopt;
      Secret secret = read_secret(reference, options.asked);
      redactor.add(secret.view());
      secrets.emplace(name, std::move(secret));
    }
    return step.step_type->make()->child(Params(step.step_type->fields, *attempt.params, secrets));
  }

  void spawn(Attempt& attempt) {
    const PlannedStep& step = plan.steps[attempt.step];
    attempt.log = std::make_unique<StepLog>(folder.log_of(step.name), redactor);
    attempt.began = Clock::now();
    if (step.timeout.count() > 0 && attempt.op != "discard") attempt.deadline = attempt.began + step.timeout;
    try {
      if (const auto child = child_of(attempt)) {
        spawn_program(attempt, *keeper, *child, step.as, tag(attempt));
      } else {
        spawn_worker(attempt, *keeper, request_for(attempt), tag(attempt));
      }
    } catch (const Error& error) {
      attempt.error = std::make_shared<const Json>(to_json(error));
      attempt.ended = true;
      attempt.channel.reset();
      attempt.output = sys::Fd();
      attempt.program_stdout = sys::Fd();
    }
    failpoint("engine:spawned");
  }

  Attempt& add_attempt(std::size_t i, const std::string& op, int number) {
    Attempt& attempt = active[i];
    attempt = Attempt();
    attempt.step = i;
    attempt.op = op;
    attempt.number = number;
    attempt.params = std::make_shared<const Json>(resolved_params(i));
    return attempt;
  }

  // An op with effects: recorded as started, on disk, and only then begun.
  void start(std::size_t i, const std::string& op) {
    const PlannedStep& step = plan.steps[i];
    const int number = record_of(i).attempts + (op == "apply" ? 1 : 0);
    Attempt& attempt = add_attempt(i, op, number);
    if (op == "apply") {
      if (const auto missing = outputs_used(*attempt.params); !missing.empty()) {
        active.erase(i);
        fail(i, "apply", number,
             Error(ErrorKind::permanent, "cannot begin", step.name,
                   "it needs an output of " + *missing.begin() + ", which is not done",
                   "give that step `defaults`, or mend it and resume"));
        return;
      }
    }
    opened.journal->reserve(room_of_a_step);
    write({{"kind", "started"}, {"step", step.name}, {"attempt", number}, {"op", op}}, [this, i] {
      if (!told_changed) {
        targets.changed(folder.id());
        told_changed = true;
      }
      const auto it = active.find(i);
      if (it == active.end()) return;
      events.step_started(plan.steps[i], it->second.number, it->second.op);
      spawn(it->second);
    });
  }

  // An op without effects of its own (its `started` stands already, or it only looks).
  void look(std::size_t i, const std::string& op) { spawn(add_attempt(i, op, record_of(i).attempts)); }

  // ---- going forward
  // -----------------------------------------------------------------------------------------------

  void settled(std::size_t i) {
    if (scheduler) scheduler->settled(i);
  }

  void skip(std::size_t i, const std::string& why) {
    const PlannedStep& step = plan.steps[i];
    write({{"kind", "skipped"},
           {"step", step.name},
           {"why", why},
           {"outputs", step.defaults ? *step.defaults : Json::object()}});
    events.step_skipped(step, why);
    settled(i);
  }

  void finish(std::size_t i, int attempt, const char* by, Json outputs, const Json& kept) {
    const std::string text = outputs.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > most_outputs) {
      fail(i, "apply", attempt,
           Error(ErrorKind::permanent, "cannot record the outputs", plan.steps[i].name,
                 sys::show_size(text.size()) + " are more than the journal takes", "output less"));
      return;
    }
    if (!redactor.empty()) outputs = Json::parse(redactor.redact(text), nullptr, false);
    write({{"kind", "finished"},
           {"step", plan.steps[i].name},
           {"attempt", attempt},
           {"outputs", outputs},
           {"by", by}});
    record_kept(i, kept);
    settled(i);
  }

  void record_kept(std::size_t i, const Json& things) {
    if (things.is_array() && (!things.empty() || record_of(i).kept))
      write({{"kind", "kept"}, {"step", plan.steps[i].name}, {"things", things}});
  }

  Error redacted(const Error& error) const {
    return Error(error.kind, redactor.redact(error.failed), redactor.redact(error.on),
                 redactor.redact(error.why), redactor.redact(error.hint));
  }

  void fail(std::size_t i, const std::string& op, int attempt, const Error& raw) {
    const PlannedStep& step = plan.steps[i];
    const Error error = redacted(raw);
    const bool again = op == "apply" && error.kind == ErrorKind::transient && !failed && signals_seen == 0 &&
                       ++tries[i] < step.attempts;
    write({{"kind", "failed"},
           {"step", step.name},
           {"attempt", attempt},
           {"op", op},
           {"error", to_json(error)},
           {"again", again}});
    if (again) {
      const milliseconds wait =
          std::min<milliseconds>(step.backoff * (1 << std::min(tries[i] - 1, 16)), std::chrono::seconds(60));
      retry_at[i] = Clock::now() + wait;
      events.retry_in(step, error, wait);
      return;
    }
    if (op == "undo" || op == "discard") {
      not_undone.insert(i);
      return;
    }
    const OnFailure policy = step.on_failure.value_or(plan.on_failure);
    if (policy == OnFailure::go_on) {
      settled(i);
      return;
    }
    failed = true;
    if (policy == OnFailure::rollback) wants_rollback = true;
  }

  void approve(std::size_t i) {
    const PlannedStep& step = plan.steps[i];
    if (options.approvals.count(step.name) > 0) return approved(i, "--approve");
    if (record_of(i).state != StepRecord::State::waiting)
      write({{"kind", "waiting"}, {"step", step.name}, {"prompt", step.params->value("prompt", "")}});
    if (events.can_ask() && asking.empty()) {
      asking = step.name;
      events.ask(step.name, step.params->value("prompt", ""));
    }
  }

  void approved(std::size_t i, const std::string& by) {
    write({{"kind", "approved"}, {"step", plan.steps[i].name}, {"by", by}});
    finish(i, 1, "person", Json::object(), nullptr);
    events.step_ended(plan.steps[i], record_of(i), "apply", milliseconds(0));
  }

  bool asked_no = false;

  void answer_at_terminal() {
    std::string line;
    char c;
    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') line += c;
    const std::size_t i = plan.index_of(asking);
    asking.clear();
    if (line == "yes" || line == "y")
      approved(i, "at the terminal");
    else
      asked_no = true;
  }

  // Lets step i, which is ready and idle, do its next thing. False: it has to wait.
  bool advance(std::size_t i) {
    const PlannedStep& step = plan.steps[i];
    const StepRecord& past = record_of(i);
    if (past.state == StepRecord::State::in_doubt) {
      if (options.done.count(step.name) > 0) {
        finish(i, past.attempts, "person", step.defaults ? *step.defaults : Json::object(), nullptr);
        return true;
      }
      look(i, "recover");
      return true;
    }
    if (step.when && !past.when) {
      if (step.when->is_boolean())
        write({{"kind", "when"}, {"step", step.name}, {"value", *step.when}});
      else
        look(i, "when");
      return true;
    }
    if (past.when && !*past.when) {
      skip(i, "its `when` said no");
      return true;
    }
    if (step.type == approve_type) {
      const std::string before = asking;
      approve(i);
      return record_of(i).state == StepRecord::State::done || asking != before;
    }
    start(i, "apply");
    return true;
  }

  void go_forward() {
    if (failed || signals_seen > 0 || asked_no) return;
    const std::vector<std::size_t> ready(scheduler->ready().begin(), scheduler->ready().end());
    for (const std::size_t i : ready) {
      if (failed || active.size() >= static_cast<std::size_t>(options.jobs)) return;
      if (active.count(i) > 0 || (!asking.empty() && asking == plan.steps[i].name)) continue;
      if (const auto at = retry_at.find(i); at != retry_at.end() && at->second > Clock::now()) continue;
      advance(i);
    }
  }

  // ---- what came of an attempt
  // -------------------------------------------------------------------------------------

  void conclude(Attempt attempt) {
    attempt.log->finish();
    const std::size_t i = attempt.step;
    const PlannedStep& step = plan.steps[i];
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - attempt.began);
    const bool recorded = attempt.op == "apply" || attempt.op == "undo" || attempt.op == "discard";
    if (recorded) opened.journal->give_back(room_of_a_step);
    // Told to stop by a signal: the step stays as `started`, in doubt for the next resume.
    const bool by_signal = attempt.told_to_stop && !attempt.timed_out;
    if (by_signal && !attempt.result && (attempt.stopped || attempt.exit_code != 0)) return;
    try {
      const Json result = result_of(attempt);
      if (attempt.op == "when") {
        write({{"kind", "when"}, {"step", step.name}, {"value", result}});
      } else if (attempt.op == "baseline") {
        write({{"kind", "baseline"}, {"step", step.name}, {"passed", result.value("done", "") == "yes"}});
      } else if (attempt.op == "recover") {
        settle_doubt(i, attempt.number, result);
      } else if (attempt.op == "apply") {
        finish(i, attempt.number, "apply", result["outputs"], result["kept"]);
      } else if (attempt.op == "undo") {
        write({{"kind", "undone"}, {"step", step.name}});
        record_kept(i, result);
      } else if (attempt.op == "discard") {
        write({{"kind", "discarded"}, {"step", step.name}});
      }
    } catch (const Error& error) {
      if (attempt.op == "baseline") {
        write({{"kind", "baseline"}, {"step", step.name}, {"passed", false}});
      } else {
        fail(i, recorded ? attempt.op : "apply", attempt.number, error);
      }
    }
    if (recorded) events.step_ended(step, record_of(i), attempt.op, took);
  }

  Json result_of(const Attempt& attempt) {
    const PlannedStep& step = plan.steps[attempt.step];
    if (attempt.timed_out)
      throw Error(ErrorKind::transient, "the step was ended", step.name,
                  "it took longer than its timeout of " + sys::show_duration(step.timeout),
                  "`relight log " + folder.id() + " " + step.name + "` shows how far it came");
    if (attempt.error) throw error_from_json(*attempt.error);
    if (!attempt.not_started.empty())
      throw Error(ErrorKind::permanent, "cannot start the program", step.name, attempt.not_started,
                  "see that it is installed and may be run");
    if (attempt.is_program) {
      const Secrets none;
      const std::unique_ptr<Step> type = step.step_type->make();
      const Json outputs = type->child_done(Params(step.step_type->fields, *attempt.params, none),
                                            attempt.exit_code, redactor.redact(attempt.stdout_tail));
      return {{"outputs", outputs}, {"kept", Json::array()}};
    }
    if (attempt.stopped)
      throw Error(ErrorKind::transient, "the step stopped", step.name, "it was told to", "resume the run");
    if (!attempt.result)
      throw Error(ErrorKind::permanent, "the step broke off", step.name,
                  fmt::format("its process ended with {} before it was done", attempt.exit_code),
                  "`relight log " + folder.id() + " " + step.name + "` shows what it printed last");
    return *attempt.result;
  }

  // What earlier attempts left is gone. Reality has been asked; where it does not tell, the type's policy
  // does.
  void settle_doubt(std::size_t i, int attempt, const Json& result) {
    const PlannedStep& step = plan.steps[i];
    write({{"kind", "settled"}, {"step", step.name}});
    const std::string done = result.value("done", "unknown");
    if (done == "yes" && !step.step_type->is_probe) {
      finish(i, attempt, "check", result["outputs"], nullptr);
      return;
    }
    const InDoubt policy = step.in_doubt.value_or(step.step_type->in_doubt);
    if (policy == InDoubt::again || done == "no" || options.again.count(step.name) > 0) {
      start(i, "apply");
    } else if (policy == InDoubt::undo) {
      start(i, "undo");
    } else {
      needs_answer.insert(step.name);
      failed = true;
    }
  }

  std::set<std::string> needs_answer;

  // ---- rollback
  // ----------------------------------------------------------------------------------------------------

  bool is_rolling_back() { return record().state == RunRecord::State::rolling_back; }

  void roll_back() {
    if (signals_seen > 0 || !active.empty()) return;
    for (const std::size_t i : rollback_order(plan, record(), record().rollback_to)) {
      if (not_undone.count(i) > 0) continue;
      // One that cannot be undone at all is told at the end; one that failed to be stops the way back there.
      for (const std::size_t other : not_undone)
        if (record_of(other).error && record_of(other).error->kind != ErrorKind::refused) return;
      start(i, "undo");
      return;
    }
  }

  // ---- the loop
  // ----------------------------------------------------------------------------------------------------

  // Reads what has come of every attempt: messages first, so that a secret is known before output that could
  // show it.
  void take_messages(Attempt& attempt) {
    Json message;
    while (attempt.channel && attempt.channel->take(message)) {
      const PlannedStep& step = plan.steps[attempt.step];
      if (message.contains("secrets")) {
        for (const Json& encoded : message["secrets"]) {
          std::string bytes;
          if (sys::from_base64(encoded.get<std::string>(), bytes)) redactor.add(bytes);
        }
      } else if (message.contains("note")) {
        const std::size_t i = attempt.step;
        Json value = message["note"][1];
        if (!redactor.empty())
          value = Json::parse(redactor.redact(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
        write({{"kind", "note"}, {"step", step.name}, {"key", message["note"][0]}, {"value", value}},
              [this, i] {
                if (const auto it = active.find(i); it != active.end() && it->second.channel)
                  it->second.channel->send({{"noted", true}});
              });
      } else if (message.contains("launch")) {
        attempt.channel->send(launch(message["launch"]));
      } else if (message.contains("progress")) {
        const Json& progress = message["progress"];
        events.step_progress(step, progress[0].get<std::string>(), progress[1].get<std::uint64_t>(),
                             progress[2].get<std::uint64_t>());
      } else if (message.contains("log")) {
        attempt.log->line(message["log"].get<std::string>());
      } else if (message.contains("result")) {
        attempt.result = std::make_shared<const Json>(message["result"]);
      } else if (message.contains("error")) {
        attempt.error = std::make_shared<const Json>(message["error"]);
      } else if (message.contains("stopped")) {
        attempt.stopped = true;
      }
    }
  }

  Json launch(const Json& wanted) {
    sys::Launch launch;
    launch.argv = wanted.at("argv").get<std::vector<std::string>>();
    launch.env = wanted.at("env").get<std::map<std::string, std::string>>();
    launch.as = wanted.at("as").get<std::string>();
    launch.cwd = wanted.at("cwd").get<std::string>();
    launch.log = wanted.at("log").get<std::string>();
    launch.pid_file = wanted.at("pid_file").get<std::string>();
    try {
      const sys::ProcessId process = keeper->launch(launch);
      return {{"pid", process.pid}, {"start_time", process.start_time}};
    } catch (const Error& error) {
      return {{"error", to_json(error)}};
    }
  }

  void take_keeper_events() {
    for (const sys::KeeperEvent& event : keeper->events()) {
      for (auto& [i, attempt] : active) {
        if (attempt.id != event.id || attempt.id == 0) continue;
        if (event.kind == sys::KeeperEvent::Kind::started) break;
        attempt.ended = true;
        attempt.exit_code = event.exit_code;
        if (event.kind == sys::KeeperEvent::Kind::not_started) attempt.not_started = event.why;
        if (event.left_behind > 0)
          attempt.log->line(
              fmt::format("[relight: {} of its processes were still there and were ended; a service is "
                          "started with service.start]",
                          event.left_behind));
        break;
      }
    }
  }

  void conclude_ended() {
    std::vector<std::size_t> over;
    for (auto& [i, attempt] : active) {
      take_messages(attempt);
      if (attempt.log) attempt.read_output();
      if (attempt.ended) over.push_back(i);
    }
    for (const std::size_t i : over) {
      Attempt attempt = std::move(active.at(i));
      active.erase(i);
      conclude(std::move(attempt));
    }
  }

  void end_attempt(Attempt& attempt) {
    if (attempt.channel) attempt.channel->send({{"stop", true}});
    if (attempt.id != 0) keeper->end(attempt.id, grace);
    attempt.told_to_stop = true;
  }

  void mind_the_clock() {
    for (auto& [i, attempt] : active) {
      if (attempt.timed_out || !attempt.deadline || *attempt.deadline > Clock::now()) continue;
      attempt.timed_out = true;
      end_attempt(attempt);
    }
  }

  void take_signals() {
    signalfd_siginfo info;
    while (read(signals.get(), &info, sizeof info) == sizeof info) {
      last_signal = static_cast<int>(info.ssi_signo);
      ++signals_seen;
      std::string names;
      for (auto& [i, attempt] : active) names += (names.empty() ? "" : ", ") + plan.steps[i].name;
      if (!names.empty())
        events.note(signals_seen == 1
                        ? "stopping at a safe point: waiting for " + names + " (again: end it now)"
                        : "ending " + names);
      for (auto& [i, attempt] : active) {
        if (signals_seen > 1) {
          end_attempt(attempt);
        } else if (attempt.channel) {
          attempt.channel->send({{"stop", true}});
          attempt.told_to_stop = true;
        }
      }
    }
  }

  int poll_timeout() {
    std::optional<Clock::time_point> next;
    const auto consider = [&](Clock::time_point at) {
      if (!next || at < *next) next = at;
    };
    for (const auto& [i, attempt] : active)
      if (attempt.deadline && !attempt.timed_out) consider(*attempt.deadline);
    for (const auto& [i, at] : retry_at)
      if (active.count(i) == 0 && at > Clock::now()) consider(at);
    if (!next) return -1;
    const auto left = std::chrono::duration_cast<milliseconds>(*next - Clock::now()).count() + 1;
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
  }

  void wait() {
    std::vector<pollfd> watched = {{signals.get(), POLLIN, 0}, {keeper->fd(), POLLIN, 0}};
    if (!asking.empty()) watched.push_back({STDIN_FILENO, POLLIN, 0});
    for (const auto& [i, attempt] : active) {
      if (attempt.channel && !attempt.channel->closed())
        watched.push_back({attempt.channel->fd(), POLLIN, 0});
      if (attempt.output) watched.push_back({attempt.output.get(), POLLIN, 0});
      if (attempt.program_stdout) watched.push_back({attempt.program_stdout.get(), POLLIN, 0});
    }
    bool ended_already = false;  // one that could not even be spawned
    for (const auto& [i, attempt] : active) ended_already = ended_already || attempt.ended;
    poll(watched.data(), watched.size(), ended_already ? 0 : poll_timeout());
    take_signals();
    if (!asking.empty() && (watched[2].revents & (POLLIN | POLLHUP)) != 0) answer_at_terminal();
    mind_the_clock();
    take_keeper_events();
    conclude_ended();
  }

  bool has_retries() {
    if (failed || signals_seen > 0 || asked_no) return false;
    for (const auto& [i, at] : retry_at)
      if (scheduler && scheduler->ready().count(i) > 0) return true;
    return false;
  }

  // Runs until nothing is in flight and nothing may begin.
  void turn() {
    for (;;) {
      if (is_rolling_back())
        roll_back();
      else
        go_forward();
      flush();
      if (!is_rolling_back() && !failed && signals_seen == 0 && scheduler->all_settled() && active.empty())
        return;
      if (active.empty() && asking.empty() && !has_retries()) {
        // What was released by the flush, or freed by it, may have made something ready.
        if (opened.journal->empty() && !may_begin()) return;
        if (opened.journal->empty()) continue;
      }
      wait();
    }
  }

  bool may_begin() {
    if (signals_seen > 0) return false;
    if (is_rolling_back()) {
      for (const std::size_t i : rollback_order(plan, record(), record().rollback_to))
        if (not_undone.count(i) == 0) {
          for (const std::size_t other : not_undone)
            if (record_of(other).error && record_of(other).error->kind != ErrorKind::refused) return false;
          return true;
        }
      return false;
    }
    if (failed || asked_no) return false;
    for (const std::size_t i : scheduler->ready())
      if (record_of(i).state != StepRecord::State::waiting) return true;
    return false;
  }

  // ---- ends
  // --------------------------------------------------------------------------------------------------------

  int end(const std::string& state, int exit, const Json& verdict, bool releases) {
    write({{"kind", "ended"}, {"state", state}, {"exit", exit}, {"verdict", verdict}});
    flush();
    if (releases) {
      Targets::release(target_names, folder.id(), state == "rolled-back");
      seal_journal(folder.journal());
    }
    return exit;
  }

  int interrupted() {
    write({{"kind", "interrupted"}, {"signal", last_signal}});
    flush();
    return exit_interrupted;
  }

  // The probes that must pass before and after: measured before the first effect, and again after a rollback.
  std::vector<std::size_t> both_probes() {
    std::vector<std::size_t> probes;
    for (std::size_t i = 0; i < plan.steps.size(); ++i)
      if (plan.steps[i].proves == "both") probes.push_back(i);
    return probes;
  }

  void measure_baseline() {
    for (const std::size_t i : both_probes())
      if (!record_of(i).baseline && outputs_used(*plan.steps[i].params).empty()) look(i, "baseline");
    while (!active.empty()) {
      flush();
      wait();
    }
    flush();
  }

  Json failing_after_rollback() {
    Json failing = Json::array();
    for (const std::size_t i : both_probes()) {
      if (record_of(i).baseline != true || signals_seen > 0) continue;
      start(i, "apply");
      while (!active.empty() || !opened.journal->empty()) {
        flush();
        if (!active.empty()) wait();
      }
      if (record_of(i).state != StepRecord::State::done) failing.push_back(plan.steps[i].name);
    }
    return failing;
  }

  int run_forward() {
    if (opened.is_new) measure_baseline();
    scheduler.emplace(plan, record());
    turn();
    if (signals_seen > 0) return interrupted();
    if (!needs_answer.empty()) return end("failed", exit_needs_person, nullptr, false);
    if (failed && wants_rollback) {
      write({{"kind", "rolling_back"}, {"to", ""}, {"by", "on_failure"}});
      return run_back();
    }
    if (failed) {
      bool person = false;
      for (const auto& [name, step] : record().steps)
        person = person || (step.state == StepRecord::State::failed && step.error &&
                            step.error->kind == ErrorKind::needs_person);
      return end("failed", person ? exit_needs_person : exit_failed, nullptr, false);
    }
    if (!scheduler->all_settled()) return exit_waiting;
    const Json verdict = verdict_of(plan, record(), sys::show_time(sys::now()), sys::boot_time().count());
    return end("done", exit_of_done(verdict), verdict, true);
  }

  int run_back() {
    failed = wants_rollback = false;
    turn();
    if (signals_seen > 0) return interrupted();
    Json left = Json::array();
    for (const std::size_t i : rollback_order(plan, record(), record().rollback_to))
      left.push_back(plan.steps[i].name);
    const Json failing =
        left.empty() && record().rollback_to.empty() ? failing_after_rollback() : Json::array();
    if (signals_seen > 0) return interrupted();
    const Json verdict = {{"not_undone", left}, {"failing", failing}};
    if (!left.empty() || !failing.empty()) return end("rollback-failed", exit_needs_person, verdict, false);
    if (!record().rollback_to.empty()) return end("rolled-back-to", exit_done, verdict, false);
    return end("rolled-back", record().rollback_by_person ? exit_done : exit_rolled_back, verdict, true);
  }
};

Engine::Engine(RunFolder folder, Plan plan, const std::vector<const StepType*>& types,
               const WorkerHooks& hooks, Events& events, EngineOptions options)
    : state_(std::make_unique<State>(std::move(folder), std::move(plan), types, hooks, events,
                                     std::move(options))) {}

Engine::~Engine() = default;

const RunRecord& Engine::record() const {
  return state_->opened.record;
}

int Engine::run() {
  const bool back = state_->record().in_rollback;
  state_->begin();
  state_->flush();
  return back ? state_->run_back() : state_->run_forward();
}

int Engine::rollback(const std::string& to) {
  State& state = *state_;
  if (const auto later = Targets::changed_since(all_targets(state.plan), state.folder.id()))
    throw Error(
        ErrorKind::refused, "cannot roll back", state.folder.id(),
        fmt::format("run {} of {} has changed {} since", later->run, later->user, later->target),
        "roll that run back first: relight --state " + later->state_folder + " rollback " + later->run);
  state.begin();
  state.write({{"kind", "rolling_back"}, {"to", to}, {"by", "person"}});
  state.flush();
  return state.run_back();
}

int Engine::discard() {
  State& state = *state_;
  const RunRecord::State before = state.record().state;
  state.start_keeper();
  state.learn_secrets();
  for (std::size_t i = 0; i < state.plan.steps.size(); ++i) {
    if (!state.record_of(i).kept) continue;
    state.start(i, "discard");
    while (!state.active.empty() || !state.opened.journal->empty()) {
      state.flush();
      if (!state.active.empty()) state.wait();
    }
  }
  if (before == RunRecord::State::done || before == RunRecord::State::rolled_back)
    seal_journal(state.folder.journal());
  return state.not_undone.empty() ? exit_done : exit_failed;
}

}  // namespace relight
