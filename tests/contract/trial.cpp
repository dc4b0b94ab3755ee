#include "tests/contract/trial.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "runner/sys/proc.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

constexpr const char* run_name = "20261121-102600-contract";

class ContractCall : public DurableCall {
 public:
  ContractCall(const Fixture& fixture, const std::string& step, const std::string& folder)
      : DurableCall(step, folder + "/notes"), fixture_(fixture), log_(folder + "/log") {}
  const std::string& run() const override { return run_; }
  std::string place(const std::string& path) const override { return fixture_.place(path); }
  void note(const std::string& key, const Json& value) override {
    if (preview_only) throw std::logic_error("a preview made the note " + key);
    DurableCall::note(key, value);
  }
  void log(const std::string& line) override { std::ofstream(log_, std::ios::app) << line << '\n'; }

 private:
  const Fixture& fixture_;
  std::string log_, run_ = run_name;
};

std::string text_of(const Preview& preview) {
  std::string text = preview.summary + "\n" + preview.proved_after + "\n" + preview.cannot_undo;
  for (const auto* lines : {&preview.hints, &preview.keeps})
    for (const std::string& line : *lines) text += "\n" + line;
  for (const Problem& one : preview.problems)
    text += "\nproblem: " + one.what + ": " + one.on + ": " + one.why + ": " + one.hint;
  return text;
}

// A service outlives the run; all else that an attempt started is ended before the next.
std::vector<sys::ProcStat> less_services(const std::vector<sys::ProcStat>& all) {
  std::set<int> services;
  for (const sys::ProcStat& stat : all)
    if (sys::proc_env(stat.process.pid, "RELIGHT_TOKEN")) services.insert(stat.process.pid);
  // A server's children have no environment that could be read: they are what it is.
  for (std::size_t before = 0; before != services.size();) {
    before = services.size();
    for (const sys::ProcStat& stat : all)
      if (services.count(stat.parent) > 0) services.insert(stat.process.pid);
  }
  std::vector<sys::ProcStat> rest;
  for (const sys::ProcStat& stat : all)
    if (stat.ended() || services.count(stat.process.pid) == 0) rest.push_back(stat);
  return rest;
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

void hold(bool good, const std::string& why) {
  if (!good) throw Broken{why};
}

Trial::Trial(const Subject& subject)
    : type_(type_named(subject.type)), fixture_(subject.make()), kept_(sys::parent_of(fixture_->world())) {
  static int count = 0;
  // Tokens of services are told by it, over all tests that run now.
  step_ = "step" + std::to_string(getpid()) + "x" + std::to_string(++count);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  chmod(kept_.path().c_str(), 01777);
  umask(022);
  for (const std::string& secret : fixture_->secrets()) secrets_.add(secret);
  make_old(fixture_->world());
  for (const sys::ProcStat& stat : sys::proc_all())
    if (stat.parent == getpid()) ours_.insert(stat.process.pid);
}

// Those that came to us, and what is below them; the fixture's servers are our own.
std::vector<sys::ProcStat> Trial::strays() const {
  const std::vector<sys::ProcStat> all = sys::proc_all();
  std::vector<int> roots;
  for (const sys::ProcStat& stat : all)
    if (stat.parent == getpid() && ours_.count(stat.process.pid) == 0) roots.push_back(stat.process.pid);
  return roots.empty() ? std::vector<sys::ProcStat>() : sys::descendants_of(all, roots);
}

Trial::~Trial() {
  fixture_->put_away();
  for (const sys::ProcStat& stat : strays()) kill(stat.process.pid, SIGKILL);
  end_strays();
}

void Trial::end_strays() {
  for (bool left = true; left;) {
    left = false;
    for (const sys::ProcStat& stat : less_services(strays())) {
      const int pid = stat.process.pid;
      if (stat.ended()) {
        waitpid(pid, nullptr, WNOHANG);
      } else {
        kill(pid, SIGKILL);
        left = true;
      }
    }
    if (left) usleep(1000);
  }
}

Outcome Trial::act(const std::string& what, const Act& act, FailpointWatch watch, bool preview, bool full) {
  const Outcome outcome = in_child(
      fixture_->as(),
      [&] {
        const TestParams params(type_, fixture_->params().dump());
        ContractCall call(*fixture_, step_, kept_.path());
        call.preview_only = preview;
        call.full = full;
        return act(*type_.make(), params, call);
      },
      [&](const Point& point) {
        // Whoever looks at the host's processes now.
        if (!secrets_.empty())
          for (const sys::ProcStat& stat : sys::proc_all()) {
            const std::string line =
                sys::read_file_if_there("/proc/" + std::to_string(stat.process.pid) + "/cmdline")
                    .value_or("");
            if (secrets_.redact(line) != line)
              std::ofstream(kept_.path() + "/log", std::ios::app)
                  << "arguments at " << point.name << ": " << line << '\n';
          }
        return watch ? watch(point) : 0;
      });
  end_strays();
  hold(outcome.relights, what + " ended with an exception that is no Error: " + outcome.error);
  check_untold(what, outcome);
  return outcome;
}

void Trial::check_untold(const std::string& what, const Outcome& outcome) const {
  if (secrets_.empty()) return;
  std::string told = outcome.error + "\n" + outcome.hint + "\n" + outcome.value.dump();
  for (const char* file : {"/notes", "/log"})
    told += "\n" + sys::read_file_if_there(kept_.path() + file).value_or("");
  sys::walk(fixture_->world(), [&](const sys::Entry& entry) { told += "\n" + entry.path; });
  hold(secrets_.redact(told) == told, what + " told a secret: " + secrets_.redact(told));
}

Outcome Trial::preview(bool full) {
  Outcome outcome = act(
      "preview",
      [](const Step& step, const Params& params, Call& call) {
        return Json(text_of(step.preview(params, call)));
      },
      {}, true, full);
  hold(outcome.error.empty(), "preview failed: " + outcome.error);
  const std::string text = outcome.value.get<std::string>();
  hold(text.find("\nproblem: ") == std::string::npos, "the fixture is refused: " + text);
  return outcome;
}

Outcome Trial::apply(FailpointWatch watch) {
  Outcome outcome = act(
      "apply", [](const Step& step, const Params& params, Call& call) { return step.apply(params, call); },
      std::move(watch));
  if (!outcome.killed && outcome.error.empty()) outputs_ = outcome.value;
  return outcome;
}

Outcome Trial::resume(FailpointWatch watch) {
  Outcome outcome = act(
      "resume",
      [](const Step& step, const Params& params, Call& call) {
        step.settle(params, call);
        Json outputs;
        return step.check(params, call, outputs) == Done::yes ? outputs : step.apply(params, call);
      },
      std::move(watch));
  if (!outcome.killed && outcome.error.empty()) outputs_ = outcome.value;
  return outcome;
}

Outcome Trial::undo(bool finished, FailpointWatch watch) {
  if (finished && !undone_) fixture_->before_undo();
  undone_ = undone_ || finished;
  return act(
      "undo",
      [&](const Step& step, const Params& params, Call& call) {
        if (!finished) step.settle(params, call);
        step.undo(params, call, finished ? &outputs_ : nullptr);
        return Json();
      },
      std::move(watch));
}

Outcome Trial::discard(FailpointWatch watch) {
  return act(
      "discard",
      [&](const Step& step, const Params& params, Call& call) {
        step.discard(params, call, &outputs_);
        return Json();
      },
      std::move(watch));
}

Json Trial::kept() {
  const Outcome outcome = act(
      "kept",
      [&](const Step& step, const Params& params, Call& call) { return step.kept(params, call, &outputs_); },
      {});
  hold(outcome.error.empty(), "kept failed: " + outcome.error);
  return outcome.value;
}

std::string Trial::plain(std::string text) const {
  return with(with(std::move(text), fixture_->world(), "WORLD"), step_, "STEP");
}

Seen Trial::state(bool exact) {
  Seen state;
  for (const auto& [path, text] : fixture_->look(exact)) state.look[plain(path)] = plain(text);
  if (!fixture_->digest_is_dear()) state.digest = digest();
  return state;
}

std::string Trial::digest() {
  const Outcome outcome = act(
      "state_digest",
      [](const Step& step, const Params& params, Call& call) {
        return Json(step.state_digest(params, call));
      },
      {}, true);
  hold(outcome.error.empty(), "state_digest failed: " + outcome.error);
  return fixture_->steady_digest(outcome.value.get<std::string>());
}

Json Trial::steady(const Json& outputs) const {
  return Json::parse(plain(fixture_->steady(outputs).dump()));
}

}  // namespace relight
