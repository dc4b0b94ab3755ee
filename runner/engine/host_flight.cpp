#include "runner/engine/host_flight.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "runner/engine/secrets.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

constexpr std::chrono::milliseconds grace{5000};  // between SIGTERM and SIGKILL

sys::Fd signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  // A lost terminal stops nothing: what is shown there is lost, the journal has it all.
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return sys::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

void HostFlight::begin() {
  // Before the signals are blocked here: what is started must not inherit that.
  keeper_.emplace(
      sys::Keeper::start([this](int socket) { return serve_worker(socket, world_.types(), world_.hooks()); },
                         {world_.held().alive.fd()}, {world_.held().lock.fd()}));
  signals_ = signal_descriptor();
  learn_secrets();
  see_how_many();
}

// As many as there are descriptors for: those of the run's targets are open by now.
void HostFlight::see_how_many() {
  constexpr std::size_t of_each = 3, to_start_one = 6;
  std::size_t others = 4;
  for (const PlannedStep& step : context_.plan.steps) others += step.watch.count() > 0 ? 1 : 0;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const std::size_t taken = sys::names_in("/proc/self/fd").size() + to_start_one + others;
  most_ = limit.rlim_cur > taken + of_each ? (limit.rlim_cur - taken) / of_each : 1;
  if (most_ <
      std::min<std::size_t>(static_cast<std::size_t>(context_.options.jobs), context_.plan.steps.size()))
    context_.events.note(fmt::format(
        "at most {} steps run at once: only {} open files are allowed (ulimit -n)", most_, limit.rlim_cur));
}

// Before anything is printed by a step: every secret of the plan that can be read without a program or a
// person.
void HostFlight::learn_secrets() {
  const std::function<void(const Json&)> learn = [&](const Json& value) {
    if (is_secret(value) && is_plain_reference(value["$secret"])) {
      try {
        context_.redactor.add(read_secret(value["$secret"], context_.options.asked).view());
      } catch (const Error&) {
        return;  // told by the step that needs it
      }
    } else if (value.is_structured()) {
      for (const Json& part : value) learn(part);
    }
  };
  for (const PlannedStep& step : context_.plan.steps) learn(*step.params);
  for (const auto& [name, bytes] : context_.options.asked) context_.redactor.add(bytes);
}

Json HostFlight::request_for(const Attempt& attempt) {
  const PlannedStep& step = context_.plan.steps[attempt.step];
  const StepRecord& past = context_.record_of(attempt.step);
  Json request = {{"op", attempt.op},
                  {"run", world_.run()},
                  {"step", step.name},
                  {"type", step.type},
                  {"attempt", attempt.number},
                  {"notes", past.notes ? *past.notes : Json::object()},
                  {"outputs", past.outputs ? *past.outputs : Json(nullptr)},
                  {"params", *attempt.params},
                  {"as", step.as},
                  {"asked", context_.options.asked},
                  {"folder", world_.folder().frozen_folder()},
                  {"digest", context_.plan.digest}};
  if (attempt.op == "watch") request["every_ms"] = step.watch.count();
  if (attempt.op == "when" || step.type == script_type)
    request["all_outputs"] = outputs_of(context_.record());
  if (attempt.op == "apply" && context_.options.preview_first.count(step.name) > 0)
    request["preview_first"] = true;
  return request;
}

// The program of a step that needs no worker: plain secrets only, and nothing to look at first.
std::optional<Child> HostFlight::child_of(const Attempt& attempt) {
  const PlannedStep& step = context_.plan.steps[attempt.step];
  if (attempt.op != "apply" || step.type == script_type ||
      context_.options.preview_first.count(step.name) > 0)
    return std::nullopt;
  Secrets secrets;
  for (const std::string& name : secrets_used(*attempt.params)) {
    const std::size_t colon = name.find(':');
    const Json reference = {{name.substr(0, colon), name.substr(colon + 1)}};
    if (!is_plain_reference(reference)) return std::nullopt;
    Secret secret = read_secret(reference, context_.options.asked);
    context_.redactor.add(secret.view());
    secrets.emplace(name, std::move(secret));
  }
  return step.step_type->make()->child(Params(step.step_type->fields, *attempt.params, secrets));
}

void HostFlight::spawn(std::size_t i) {
  const auto found = active_.find(i);
  if (found == active_.end()) return;
  Attempt& attempt = found->second;
  const PlannedStep& step = context_.plan.steps[i];
  const std::string tag = fmt::format("{}/{}/{}", world_.folder().id(), step.name, attempt.number);
  attempt.log = std::make_unique<StepLog>(world_.folder().log_of(step.name), context_.redactor);
  attempt.began = Clock::now();
  if (step.timeout.count() > 0 && attempt.op != "discard") attempt.deadline = attempt.began + step.timeout;
  try {
    if (const auto child = child_of(attempt))
      spawn_program(attempt, *keeper_, *child, step.as, tag);
    else
      spawn_worker(attempt, *keeper_, request_for(attempt), tag);
  } catch (const Error& error) {
    attempt.error = std::make_shared<const Json>(to_json(error));
    attempt.ended = true;
    attempt.channel.reset();
    attempt.output = sys::Fd();
    attempt.program_stdout = sys::Fd();
  }
  failpoint("engine:spawned");
}

// Messages come before output is read, so that a secret is known before output that could show it.
void HostFlight::take_messages(Attempt& attempt) {
  Json message;
  while (attempt.channel && attempt.channel->take(message)) take_message(attempt, message);
}

void HostFlight::take_message(Attempt& attempt, const Json& message) {
  const PlannedStep& step = context_.plan.steps[attempt.step];
  if (message.contains("secrets")) {
    for (const Json& encoded : message["secrets"])
      if (std::string bytes; sys::from_base64(encoded.get<std::string>(), bytes))
        context_.redactor.add(bytes);
  } else if (message.contains("note")) {
    context_.write({{"kind", "note"},
                    {"step", step.name},
                    {"key", message["note"][0]},
                    {"value", context_.redacted(message["note"][1])}},
                   [this, i = attempt.step] {
                     if (const auto it = active_.find(i); it != active_.end() && it->second.channel)
                       it->second.channel->send({{"noted", true}});
                   });
  } else if (message.contains("launch")) {
    attempt.channel->send(launch(message["launch"]));
  } else if (message.contains("progress")) {
    const Json& progress = message["progress"];
    context_.events.step_progress(step, progress[0].get<std::string>(), progress[1].get<std::uint64_t>(),
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

Json HostFlight::launch(const Json& wanted) {
  sys::Launch launch;
  launch.argv = wanted.at("argv").get<std::vector<std::string>>();
  launch.env = wanted.at("env").get<std::map<std::string, std::string>>();
  launch.as = wanted.at("as").get<std::string>();
  launch.cwd = wanted.at("cwd").get<std::string>();
  launch.log = wanted.at("log").get<std::string>();
  launch.pid_file = wanted.at("pid_file").get<std::string>();
  try {
    const sys::ProcessId process = keeper_->launch(launch);
    return {{"pid", process.pid}, {"start_time", process.start_time}};
  } catch (const Error& error) {
    return {{"error", to_json(error)}};
  }
}

void HostFlight::take_keeper_events() {
  for (const sys::KeeperEvent& event : keeper_->events()) {
    if (event.kind == sys::KeeperEvent::Kind::started) continue;
    for (auto& [i, attempt] : watching_)
      if (attempt.id == event.id) attempt.ended = true;
    for (auto& [i, attempt] : active_) {
      if (attempt.id != event.id || attempt.id == 0) continue;
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

void HostFlight::end_attempt(Attempt& attempt) {
  if (attempt.channel) attempt.channel->send({{"stop", true}});
  if (attempt.id != 0) keeper_->end(attempt.id, grace);
  attempt.told_to_stop = true;
}

void HostFlight::mind_the_clock() {
  for (auto& [i, attempt] : active_) {
    if (attempt.timed_out || !attempt.deadline || *attempt.deadline > Clock::now()) continue;
    attempt.timed_out = true;
    end_attempt(attempt);
  }
}

void HostFlight::take_signals() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    last_signal_ = static_cast<int>(info.ssi_signo);
    ++signals_seen_;
    std::string names;
    for (auto& [i, attempt] : active_) names += (names.empty() ? "" : ", ") + context_.plan.steps[i].name;
    if (!names.empty())
      context_.events.note(signals_seen_ == 1
                               ? "stopping at a safe point: waiting for " + names + " (once more: end it now)"
                               : "ending " + names);
    for (auto& [i, attempt] : active_) {
      if (signals_seen_ > 1) {
        end_attempt(attempt);
      } else if (attempt.channel) {
        attempt.channel->send({{"stop", true}});
        attempt.told_to_stop = true;
      }
    }
  }
}

std::vector<Attempt> HostFlight::wait(std::optional<Clock::time_point> next, bool* terminal) {
  std::vector<pollfd> watched = {{signals_.get(), POLLIN, 0}, {keeper_->fd(), POLLIN, 0}};
  if (terminal != nullptr) watched.push_back({STDIN_FILENO, POLLIN, 0});
  for (const auto& [i, attempt] : watching_)
    if (attempt.channel && !attempt.channel->closed()) watched.push_back({attempt.channel->fd(), POLLIN, 0});
  for (const auto& [i, attempt] : active_) {
    if (attempt.channel && !attempt.channel->closed()) watched.push_back({attempt.channel->fd(), POLLIN, 0});
    if (attempt.output) watched.push_back({attempt.output.get(), POLLIN, 0});
    if (attempt.program_stdout) watched.push_back({attempt.program_stdout.get(), POLLIN, 0});
    if (attempt.deadline && !attempt.timed_out && (!next || *attempt.deadline < *next))
      next = attempt.deadline;
    if (attempt.ended) next = Clock::now();  // it could not even be spawned
  }
  int timeout = -1;
  if (next) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
  }
  poll(watched.data(), watched.size(), timeout);
  take_signals();
  if (terminal != nullptr) *terminal = (watched[2].revents & (POLLIN | POLLHUP)) != 0;
  mind_the_clock();
  take_keeper_events();
  take_watched();
  std::vector<Attempt> over;
  for (auto it = active_.begin(); it != active_.end();) {
    take_messages(it->second);
    it->second.read_output();
    if (it->second.ended) {
      it->second.log->finish();
      over.push_back(std::move(it->second));
      it = active_.erase(it);
    } else {
      ++it;
    }
  }
  return over;
}

// ---- what watches
// ---------------------------------------------------------------------------------------------------

void HostFlight::watch(std::size_t i) {
  if (watching_.count(i) > 0) return;
  Attempt& attempt = watching_[i];
  attempt.step = i;
  attempt.op = "watch";
  attempt.params = std::make_shared<const Json>(context_.resolved_params(i));
  const PlannedStep& step = context_.plan.steps[i];
  try {
    spawn_worker(attempt, *keeper_, request_for(attempt),
                 fmt::format("{}/{}/watch", world_.folder().id(), step.name));
  } catch (const Error& error) {
    context_.events.note("the downtime is not measured: " + std::string(error.what()));
    watching_.erase(i);
  }
}

void HostFlight::take_watched() {
  for (auto& [i, attempt] : watching_) {
    Json message;
    while (attempt.channel && attempt.channel->take(message)) {
      if (message.contains("secrets")) {
        take_message(attempt, message);
      } else if (message.contains("watched")) {
        Json record = message["watched"];
        record["kind"] = "watched";
        record["step"] = context_.plan.steps[i].name;
        context_.write(std::move(record));
      } else if (message.contains("error")) {
        context_.events.note(std::string("the downtime is not measured any more: ") +
                             context_.redacted(error_from_json(message["error"])).what());
      }
    }
  }
}

void HostFlight::end_watches() {
  const auto all_ended = [this] {
    return std::all_of(watching_.begin(), watching_.end(), [](const auto& one) { return one.second.ended; });
  };
  for (auto& [i, attempt] : watching_)
    if (attempt.channel) attempt.channel->send({{"stop", true}});
  for (const auto limit = Clock::now() + grace; !all_ended() && Clock::now() < limit;) wait(limit, nullptr);
  for (auto& [i, attempt] : watching_) {
    if (!attempt.ended) keeper_->end(attempt.id, std::chrono::milliseconds(0));
    context_.write({{"kind", "watched"}, {"step", context_.plan.steps[i].name}, {"up", nullptr}});
  }
  watching_.clear();
}

}  // namespace relight
