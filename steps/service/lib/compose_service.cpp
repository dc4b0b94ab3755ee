#include "steps/service/lib/compose_service.h"

#include <algorithm>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto look_every = 100ms;

std::string last_lines(const sys::Result& result) {
  const std::string text = sys::mend_utf8(sys::trim(result.err_tail));
  return text.size() <= 600 ? text : "..." + text.substr(text.size() - 600);
}

class ComposeService : public Service {
 public:
  ComposeService(Via via, int port, Call& call)
      : via_(std::move(via)), port_(port), compose_(compose_of(via_, call)) {}

  std::string name() const override { return via_.text(); }

  // Nothing can be asked of a project whose file is gone, nor without compose.
  bool exists() const override {
    return sys::exists(via_.file) && !compose_.program().empty() && compose_.has(via_.service);
  }

  std::optional<sys::ProcessId> running() const override {
    const auto one = the_one();
    if (!one || !not_up(*one).empty()) return std::nullopt;
    return one->process;
  }

  // Looked at once more: what is told is the container that runs now.
  std::string identity(const sys::ProcessId&) const override {
    const auto one = the_one();
    return one ? one->identity() : "";
  }

  State state() const override {
    State state = State::stopped;
    for (const sys::Container& one : containers()) {
      if (one.runs()) return running() ? State::running : State::starting;
      if (one.status == "restarting") state = State::starting;
      if (one.status == "removing") state = State::stopping;
    }
    return state;
  }

  std::string outdated() const override {
    const auto one = the_one();
    if (!one) return "";
    const std::string wanted = image();
    return wanted.empty() || wanted == one->image ? ""
                                                  : "it runs " + one->image + ", and the file says " + wanted;
  }

  // docker-proxy listens for a container, or nobody does and the kernel passes on.
  std::string strangers(int port) const override {
    for (const sys::Container& one : containers())
      if (one.runs() && one.inside_of(port)) return "";
    return strangers_on(port, std::nullopt);
  }

  std::vector<Problem> lacks() const override {
    if (compose_.program().empty())
      return {{"docker compose is missing", via_.file, "neither it nor docker-compose is here",
               "install docker-compose first: host.packages"}};
    if (!sys::exists(via_.file))
      return {{"the compose file is missing", via_.file, "no such file", "write it first: host.file"}};
    if (!compose_.has(via_.service))
      return {{"no such service", via_.service, via_.file + " has none of that name", "correct `service`"}};
    if (const auto all = containers(); std::count_if(all.begin(), all.end(), runs) > 1)
      return {{"more than one container", via_.text(), "it has " + std::to_string(all.size()),
               "relight drives services of one container: take its scale away"}};
    if (port_ != 0)
      if (std::string others = strangers(port_); !others.empty())
        return {{"the port is taken", std::to_string(port_), others,
                 "stop it first: service.stop with the same port"}};
    return {};
  }

  std::vector<std::string> hints() const override {
    if (exists() && !image().empty() && !compose_.docker().has_image(image()))
      return {"the image " + image() + " is not on this host: the start brings it from its registry"};
    return {};
  }

  void start(Call& call, const std::string&, std::chrono::milliseconds within) override {
    const auto until = Clock::now() + within;
    const sys::Result result = compose_.up(via_.service, within);
    ids_.clear();
    if (!result.ok()) {
      compose_.docker().need_engine();
      throw Error(
          ErrorKind::permanent, "cannot start", name(),
          result.timed_out ? "compose has not ended after " + sys::show_duration(within) : last_lines(result),
          "look at it with docker compose -f " + via_.file + " ps -a");
    }
    std::string why = "there is no container";
    std::string seen;
    Clock::time_point since;
    std::optional<sys::Container> one;
    const auto up = [&] {
      call.stop_here_if_wanted();
      one = the_one();
      if (!one) return false;
      if (one->ended())
        throw Error(ErrorKind::permanent, "the service ended at once", name(),
                    "its container exited with " + std::to_string(one->exit_code) + said(*one),
                    "docker logs " + one->name);
      if (one->started_at != seen) {
        seen = one->started_at;
        since = Clock::now();
      }
      why = not_up(*one);
      if (why.empty() && one->health.empty() && port_ == 0 && Clock::now() - since < settles_in)
        why = "it is restarted again and again";
      return why.empty();
    };
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (sys::wait_until(left, look_every, {}, up)) return;
    throw Error(ErrorKind::permanent, "the service is not up", name(),
                "not after " + sys::show_duration(within) + ": " + why + (one ? said(*one) : ""),
                "it runs on: look into its log, or give it longer with `within`");
  }

  void stop(Call& call, std::chrono::milliseconds within) override {
    std::vector<sys::Container::Port> ports;
    for (const sys::Container& one : containers())
      ports.insert(ports.end(), one.ports.begin(), one.ports.end());
    const sys::Result result = compose_.stop(via_.service, within);
    std::string left;
    for (const sys::Container& one : containers())
      if (!one.ended()) left += (left.empty() ? "" : ", ") + one.name + " is " + one.status;
    if (!result.ok() || !left.empty())
      throw Error(ErrorKind::permanent, "cannot stop", name(), left.empty() ? last_lines(result) : left,
                  "look at it with docker compose -f " + via_.file + " ps -a");
    // What carries the port to the container goes after it.
    sys::wait_until(10s, 20ms, {}, [&] {
      call.stop_here_if_wanted();
      return std::none_of(ports.begin(), ports.end(), taken);
    });
  }

 private:
  static bool runs(const sys::Container& one) { return one.runs(); }

  static bool taken(const sys::Container::Port& port) {
    for (const sys::Listener& listener : sys::listeners_on(port.outside))
      if (listener.address == (port.address.empty() ? "0.0.0.0" : port.address)) return true;
    return false;
  }

  // Compose is slow to list them: those once found are looked at by their ids until one is gone.
  std::vector<sys::Container> containers() const {
    if (!exists()) return {};
    if (!ids_.empty())
      if (auto known = compose_.docker().inspect(ids_); known.size() == ids_.size()) return known;
    auto found = compose_.containers(via_.service);
    ids_.clear();
    for (const sys::Container& one : found) ids_.push_back(one.id);
    return found;
  }

  // The container of the service; nothing where there is none, or where a start that was cut short has left
  // two.
  std::optional<sys::Container> the_one() const {
    auto all = containers();
    if (all.size() != 1) return std::nullopt;
    return std::move(all[0]);
  }

  // Why it is not up; empty: it is.
  std::string not_up(const sys::Container& one) const {
    if (one.status != "running") return "its container is " + one.status;
    if (!one.health.empty() && one.health != "healthy")
      return "it is " + one.health + (one.health_said.empty() ? "" : ": " + one.health_said.substr(0, 400));
    if (port_ == 0) return "";
    if (!one.inside_of(port_)) return "its container does not publish port " + std::to_string(port_);
    return sys::Docker::listens(one, port_) ? "" : "it does not listen behind port " + std::to_string(port_);
  }

  std::string image() const { return compose_.config()["services"][via_.service].value("image", ""); }

  std::string said(const sys::Container& one) const {
    const std::string end = compose_.docker().log_end(one);
    return end.empty() ? ", and it printed nothing" : "; its log ends with: " + end;
  }

  Via via_;
  int port_;
  sys::Compose compose_;
  mutable std::vector<std::string> ids_;
};

}  // namespace

std::unique_ptr<Service> compose_service(Via via, int port, Call& call) {
  return std::make_unique<ComposeService>(std::move(via), port, call);
}

}  // namespace relight
