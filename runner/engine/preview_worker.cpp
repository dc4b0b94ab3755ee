#include "runner/engine/preview_worker.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "runner/engine/channel.h"
#include "runner/engine/recovery.h"
#include "runner/engine/secrets.h"
#include "runner/engine/worker.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

// A preview that takes long is sent as soon as it is made, so that a silence is the silence of one step.
constexpr std::size_t batch = 32;
constexpr std::chrono::milliseconds batch_time{20};

// What the steps of one process ask alike, and were told.
using Answers = std::map<std::string, std::string>;

// A Call that changes nothing and tells nothing: a preview is its answer.
class PreviewCall : public Call {
 public:
  PreviewCall(Channel& channel, const PreviewOptions& options, const std::string& step, Answers& answers,
              Json notes = Json::object())
      : channel_(channel), options_(options), step_(step), answers_(answers), notes_(std::move(notes)) {}

  const std::string& run() const override { return options_.run; }
  const std::string& step() const override { return step_; }
  int attempt() const override { return 1; }
  bool previewing() const override { return true; }
  bool full_depth() const override { return options_.full; }
  const Json& notes() const override { return notes_; }
  void note(const std::string& key, const Json&) override { refuse("cannot make a note", key); }
  void progress(const std::string&, std::uint64_t, std::uint64_t) override {}
  void log(const std::string&) override {}
  sys::ProcessId launch(const sys::Launch&) override { refuse("cannot start a service", step_); }

  bool stop_wanted() const override {
    Json message;
    channel_.take(message);
    return channel_.closed();
  }

  std::string once(const std::string& question, const std::function<std::string()>& look) override {
    const auto known = answers_.find(question);
    return known != answers_.end() ? known->second : answers_.emplace(question, look()).first->second;
  }

 private:
  [[noreturn]] static void refuse(const std::string& what, const std::string& on) {
    throw Error(ErrorKind::permanent, what, on, "a preview changes nothing");
  }

  Channel& channel_;
  const PreviewOptions& options_;
  const std::string& step_;
  Answers& answers_;
  Json notes_;
};

class PreviewWorker {
 public:
  PreviewWorker(Channel& channel, const Plan& plan, const PreviewOptions& options, PreviewMark& mark)
      : channel_(channel), plan_(plan), options_(options), mark_(mark) {}

  void serve(const Json& request) {
    const auto steps = request.at("steps").get<std::vector<std::size_t>>();
    for (const std::size_t step : steps) read_secrets_of(step);
    become_user(request.at("as").get<std::string>());
    for (const std::size_t step : steps) {
      mark_.set(step);
      ready_.push_back({step, to_json(preview_of(step))});
      if (ready_.size() >= batch || std::chrono::steady_clock::now() - sent_ >= batch_time) send();
    }
    send();
    channel_.send({{"result", nullptr}});
  }

 private:
  void read_secrets_of(std::size_t step) {
    mark_.set(step);
    try {
      read_secrets(*plan_.steps[step].params, options_.asked, !options_.check_secrets, secrets_);
    } catch (const Error& error) {
      unreadable_.emplace(step, error);
    }
  }

  Preview preview_of(std::size_t index) {
    const PlannedStep& step = plan_.steps[index];
    try {
      if (const auto it = unreadable_.find(index); it != unreadable_.end()) throw it->second;
      if (options_.undo_of != nullptr) return newer_of(step);
      PreviewCall call(channel_, options_, step.name, answers_);
      return step.step_type->make()->preview(Params(step.step_type->fields, *step.params, secrets_), call);
    } catch (const Error& error) {
      Preview failed;
      failed.problems.push_back({error.failed, error.on, error.why, error.hint});
      return failed;
    }
  }

  Preview newer_of(const PlannedStep& step) {
    const StepRecord& past = options_.undo_of->step(step.name);
    const Json params = resolve(*step.params, outputs_of(*options_.undo_of));
    PreviewCall call(channel_, options_, step.name, answers_, *past.notes);
    Preview preview;
    try {
      if (const auto since = sys::parse_time(past.finished_at))
        preview.hints =
            step.step_type->make()->newer(Params(step.step_type->fields, params, secrets_), call, *since);
    } catch (const Error& error) {
      if (error.kind != ErrorKind::needs_person) throw;
      preview.cannot_undo = error.failed;
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  void send() {
    channel_.send({{"previews", std::exchange(ready_, Json::array())}});
    sent_ = std::chrono::steady_clock::now();
  }

  Channel& channel_;
  const Plan& plan_;
  const PreviewOptions& options_;
  PreviewMark& mark_;
  Secrets secrets_;
  std::map<std::size_t, Error> unreadable_;
  Answers answers_;
  Json ready_ = Json::array();
  std::chrono::steady_clock::time_point sent_ = std::chrono::steady_clock::now();
};

}  // namespace

PreviewMark::PreviewMark() {
  void* shared = mmap(nullptr, sizeof *step_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw system_error(errno, "cannot share memory", "the previews");
  step_ = new (shared) std::atomic<std::size_t>(0);
}

PreviewMark::~PreviewMark() {
  munmap(step_, sizeof *step_);
}

int serve_previews(int socket, const Plan& plan, const PreviewOptions& options, PreviewMark& mark) {
  Channel channel{sys::Fd(socket)};
  Json request;
  if (!channel.receive(request)) return 1;
  try {
    if (chdir("/") != 0) throw system_error(errno, "cannot change to a folder", "/");
    PreviewWorker(channel, plan, options, mark).serve(request);
  } catch (const Stopped&) {
    // The engine is gone.
  } catch (const Error& error) {
    channel.send({{"error", to_json(error)}});
  } catch (const std::exception& error) {
    channel.send({{"error", to_json(unforeseen(error, "the step broke off", plan.steps[mark.step()].name))}});
  }
  return 0;
}

}  // namespace relight
