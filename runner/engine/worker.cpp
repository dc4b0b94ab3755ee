#include "runner/engine/worker.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "runner/engine/channel.h"
#include "runner/engine/secrets.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

const StepType& type_named(const std::vector<const StepType*>& types, const std::string& name) {
  for (const StepType* type : types)
    if (type->name == name) return *type;
  throw Error(ErrorKind::permanent, "cannot find the step type", name, "this program has none of that name");
}

// A Call that reaches the engine over the worker's socket.
class WorkerCall : public Call {
 public:
  WorkerCall(Channel& channel, const Json& request, const Json& step)
      : channel_(channel),
        run_(request.at("run").get<std::string>()),
        step_(step.at("step").get<std::string>()),
        attempt_(request.value("attempt", 1)),
        previewing_(request.at("op") == "preview"),
        notes_(request.value("notes", Json::object())) {}

  const std::string& run() const override { return run_; }
  const std::string& step() const override { return step_; }
  int attempt() const override { return attempt_; }
  bool previewing() const override { return previewing_; }
  bool full_depth() const override { return false; }
  const Json& notes() const override { return notes_; }

  void note(const std::string& key, const Json& value) override {
    if (previewing_)
      throw Error(ErrorKind::permanent, "cannot make a note", key, "a preview changes nothing");
    ask({{"note", {key, value}}});
    notes_[key] = value;
  }

  void progress(const std::string& phase, std::uint64_t done, std::uint64_t total) override {
    channel_.send({{"progress", {phase, done, total}}});
  }

  void log(const std::string& line) override { channel_.send({{"log", line}}); }

  bool stop_wanted() const override {
    const std::unique_lock lock(reads_,
                                std::try_to_lock);  // what is read while ask() waits may be its answer
    if (lock) {
      Json message;
      while (channel_.take(message))
        if (message.contains("stop")) stop_ = true;
      if (channel_.closed()) stop_ = true;
    }
    return stop_;
  }

  sys::ProcessId launch(const sys::Launch& launch) override {
    const Json answer = ask({{"launch",
                              {{"argv", launch.argv},
                               {"env", launch.env},
                               {"as", launch.as},
                               {"cwd", launch.cwd},
                               {"log", launch.log},
                               {"pid_file", launch.pid_file}}}});
    return {answer.at("pid").get<int>(), answer.at("start_time").get<std::string>()};
  }

 private:
  // Sends what the engine answers, and waits for the answer.
  Json ask(const Json& message) {
    const std::lock_guard lock(reads_);
    channel_.send(message);
    Json answer;
    while (channel_.receive(answer)) {
      if (answer.contains("stop")) {
        stop_ = true;
        continue;
      }
      if (answer.contains("error")) throw error_from_json(answer["error"]);
      return answer;
    }
    throw Error(ErrorKind::permanent, "cannot go on", step_, "relight itself is gone");
  }

  Channel& channel_;
  std::string run_, step_;
  int attempt_;
  bool previewing_;
  mutable std::mutex reads_;  // of the channel
  mutable std::atomic<bool> stop_ = false;
  Json notes_;
};

void tell_secrets(Channel& channel, const Secrets& secrets) {
  if (secrets.empty()) return;
  Json told = Json::object();
  for (const auto& [name, secret] : secrets) told[name] = sys::to_base64(secret.view());
  channel.send({{"secrets", told}});
}

// For a type that is started without a worker, carried out by one all the same: where its secrets
// need a program to be run, or a preview said so.
Json apply_child(const Step& step, const Params& params, Call& call, const Child& child) {
  sys::Command command;
  command.argv = child.argv;
  command.extra_env = child.env;
  command.cwd = child.cwd.empty() ? "/" : child.cwd;
  command.stdin_text = child.stdin_text;
  const sys::Result result = call.run_program(std::move(command));
  for (const std::string& line : sys::split(sys::trim(result.out), '\n'))
    if (!line.empty()) call.log(line);
  constexpr std::size_t tail = 64u << 10;
  return step.child_done(params, result.exit_code,
                         result.out.size() > tail ? result.out.substr(result.out.size() - tail) : result.out);
}

// In doubt: what earlier attempts left is ended first, then reality is asked.
Json recover(const Step& step, const Params& params, Call& call) {
  step.settle(params, call);
  Json outputs = Json::object();
  const Done done = step.check(params, call, outputs);
  return {{"done", done == Done::yes  ? "yes"
                   : done == Done::no ? "no"
                                      : "unknown"},
          {"outputs", outputs},
          {"kept", done == Done::yes ? step.kept(params, call, &outputs) : Json::array()}};
}

// Looks again and again until it is told to stop, and once more then; tells what has changed.
class Watching {
 public:
  Watching(const Step& step, const Params& params, WorkerCall& call, Channel& channel)
      : step_(step), params_(params), call_(call), channel_(channel) {}

  void go_on(std::chrono::milliseconds every) {
    while (!call_.stop_wanted()) {
      const auto next = std::chrono::steady_clock::now() + every;
      look();
      std::this_thread::sleep_until(next);
    }
    look();
  }

 private:
  using Clock = std::chrono::steady_clock;

  void look() {
    const bool up = answers();
    const auto now = Clock::now();
    const std::string wall = sys::show_time(sys::now());
    if (up && up_ == false)
      tell({{"up", true},
            {"from", good_wall_},
            {"to", wall},
            {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(now - good_).count()}});
    else if (up && !up_)
      tell({{"up", true}, {"to", wall}});
    else if (!up && up_ != false)
      tell({{"up", false}, {"from", up_ ? good_wall_ : wall}});
    if (up || !up_) {
      good_ = now;
      good_wall_ = wall;
    }
    up_ = up;
  }

  bool answers() const {
    try {
      return step_.look(params_, call_).empty();
    } catch (const Error&) {
      return false;  // no answer is one too
    }
  }

  void tell(Json seen) { channel_.send({{"watched", std::move(seen)}}); }

  const Step& step_;
  const Params& params_;
  WorkerCall& call_;
  Channel& channel_;
  std::optional<bool> up_;  // as seen last
  Clock::time_point good_;  // the last good answer, or the first look
  std::string good_wall_;
};

void refuse_problems(const Preview& preview) {
  if (preview.problems.empty()) return;
  const Problem& first = preview.problems.front();
  throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
}

Json serve_step(Channel& channel, const Json& request, const std::vector<const StepType*>& types) {
  const StepType& type = type_named(types, request.at("type").get<std::string>());
  const std::string op = request.at("op").get<std::string>();
  Secrets secrets;
  read_secrets(request.at("params"), request.value("asked", std::map<std::string, std::string>()), false,
               secrets);
  tell_secrets(channel, secrets);
  become_user(request.value("as", ""));
  const Params params(type.fields, request["params"], secrets);
  WorkerCall call(channel, request, request);
  const std::unique_ptr<Step> step = type.make();
  const Json& own = request.at("outputs");
  const Json* outputs = own.is_null() ? nullptr : &own;
  if (op == "recover") return recover(*step, params, call);
  if (op == "baseline") {  // an Error: it does not pass
    step->apply(params, call);
    return {{"done", "yes"}};
  }
  if (op == "undo") {
    step->undo(params, call, outputs);
    return step->kept(params, call, outputs);
  }
  if (op == "discard") {
    step->discard(params, call, outputs);
    return nullptr;
  }
  if (op == "watch") {
    Watching(*step, params, call, channel).go_on(std::chrono::milliseconds(request.at("every_ms")));
    return nullptr;
  }
  if (op == "kept") return step->kept(params, call, outputs);
  // A step whose preview had to wait for others is refused here, before its first effect.
  if (request.value("preview_first", false)) {
    Json looking = request;
    looking["op"] = "preview";
    WorkerCall look(channel, looking, looking);
    refuse_problems(step->preview(params, look));
  }
  const std::optional<Child> child = step->child(params);
  const Json result = child ? apply_child(*step, params, call, *child) : step->apply(params, call);
  return {{"outputs", result}, {"kept", step->kept(params, call, &result)}};
}

}  // namespace

void become_user(const std::string& as) {
  if (as.empty()) return;
  const sys::User user = sys::user_named(as);
  if (user.uid == sys::current_user().uid) return;
  sys::become(user);
  setenv("HOME", user.home.c_str(), 1);
  setenv("USER", user.name.c_str(), 1);
  setenv("LOGNAME", user.name.c_str(), 1);
}

int serve_worker(int socket, const std::vector<const StepType*>& types, const WorkerHooks& hooks) {
  Channel channel{sys::Fd(socket)};
  Json request;
  if (!channel.receive(request)) return 1;
  try {
    if (chdir("/") != 0) throw system_error(errno, "cannot change to a folder", "/");
    if (hooks.freeze && request.contains("folder"))
      hooks.freeze(request["folder"].get<std::string>(), request.value("digest", ""));
    if (request.at("op") == "when") {
      const bool value = hooks.when(request.at("step").get<std::string>(), request.at("all_outputs"));
      channel.send({{"result", value}});
    } else {
      channel.send({{"result", serve_step(channel, request, types)}});
    }
  } catch (const Stopped&) {
    channel.send({{"stopped", true}});
  } catch (const Error& error) {
    channel.send({{"error", to_json(error)}});
  } catch (const std::exception& error) {
    channel.send({{"error", to_json(unforeseen(error, "the step broke off", request.value("step", "")))}});
  }
  return 0;
}

Json to_json(const Error& error) {
  return {{"kind", name_of(error.kind)},
          {"what", error.failed},
          {"on", error.on},
          {"why", error.why},
          {"hint", error.hint}};
}

Error error_from_json(const Json& json) {
  return Error(error_kind_named(json.value("kind", "")), json.value("what", ""), json.value("on", ""),
               json.value("why", ""), json.value("hint", ""));
}

// What is empty is left out: a plan of 1,000 steps sends as many of these.
Json to_json(const Preview& preview) {
  Json json = {{"verdict", preview.verdict == Preview::Verdict::nothing_to_do  ? "nothing_to_do"
                           : preview.verdict == Preview::Verdict::would_change ? "would_change"
                                                                               : "cannot_yet_tell"}};
  for (const Problem& problem : preview.problems)
    json["problems"].push_back(
        {{"what", problem.what}, {"on", problem.on}, {"why", problem.why}, {"hint", problem.hint}});
  if (!preview.summary.empty()) json["summary"] = preview.summary;
  if (!preview.hints.empty()) json["hints"] = preview.hints;
  if (!preview.keeps.empty()) json["keeps"] = preview.keeps;
  if (!preview.proved_after.empty()) json["proved_after"] = preview.proved_after;
  if (!preview.space.empty()) json["space"] = preview.space;
  if (!preview.cannot_undo.empty()) json["cannot_undo"] = preview.cannot_undo;
  return json;
}

Preview preview_from_json(const Json& json) {
  Preview preview;
  const std::string verdict = json.at("verdict").get<std::string>();
  preview.verdict = verdict == "nothing_to_do"  ? Preview::Verdict::nothing_to_do
                    : verdict == "would_change" ? Preview::Verdict::would_change
                                                : Preview::Verdict::cannot_yet_tell;
  preview.summary = json.value("summary", "");
  for (const Json& problem : json.value("problems", Json::array()))
    preview.problems.push_back({problem.value("what", ""), problem.value("on", ""), problem.value("why", ""),
                                problem.value("hint", "")});
  preview.hints = json.value("hints", std::vector<std::string>());
  preview.keeps = json.value("keeps", std::vector<std::string>());
  preview.proved_after = json.value("proved_after", "");
  preview.space = json.value("space", std::map<std::string, std::uint64_t>());
  preview.cannot_undo = json.value("cannot_undo", "");
  return preview;
}

}  // namespace relight
