#include "steps/service/lib/systemd_unit.h"

#include <cstdlib>
#include <map>

#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

using Clock = std::chrono::steady_clock;
using Properties = std::map<std::string, std::string>;

constexpr std::chrono::milliseconds look_every{20};

Service::State state_of(Properties& unit) {
  const std::string& state = unit["ActiveState"];
  if (state == "active" || state == "reloading") return Service::State::running;
  if (state == "activating") return Service::State::starting;  // or waiting to be restarted
  if (state == "deactivating") return Service::State::stopping;
  return Service::State::stopped;
}

sys::ProcessId main_process(Properties& unit) {
  const int pid = std::atoi(unit["MainPID"].c_str());
  return pid > 0 ? sys::process_now(pid) : sys::ProcessId{0, "0"};
}

class SystemdUnit : public Service {
 public:
  SystemdUnit(std::string unit, int port) : unit_(std::move(unit)), port_(port) {}

  std::string name() const override { return "unit " + unit_; }

  // A unit whose file is gone may run on.
  bool exists() const override {
    auto unit = show();
    return unit["LoadState"] != "not-found" || state_of(unit) != State::stopped;
  }

  State state() const override {
    auto unit = show();
    return state_of(unit);
  }

  std::optional<sys::ProcessId> running() const override {
    auto unit = show();
    if (state_of(unit) != State::running) return std::nullopt;
    return main_process(unit);
  }

  std::vector<Problem> lacks() const override {
    auto unit = show();
    // What it was when systemd last looked may be mended by the reload before the start.
    if (unit["LoadState"] == "not-found")
      return {{"no such unit", unit_, "systemd does not know it", "write its file first: host.file"}};
    if (unit["LoadState"] == "masked")
      return {{"the unit is masked", unit_, "it may not be started", "systemctl unmask " + unit_}};
    return {};
  }

  std::vector<std::string> hints() const override {
    // A cluster of Debian's is started at boot by what its start.conf says.
    if (show()["UnitFileState"] != "disabled" || unit_.starts_with("postgresql@")) return {};
    return {"unit " + unit_ + " is not enabled: it does not come back after a reboot (systemctl enable " +
            unit_ + ")"};
  }

  void start(Call& call, const std::string&, std::chrono::milliseconds within) override {
    const auto until = Clock::now() + within;
    const std::chrono::duration<double> since = std::chrono::system_clock::now().time_since_epoch();
    reload_if_needed(call);
    if (show()["ActiveState"] == "failed") systemctl(call, {"reset-failed", unit_}, within);
    const sys::Result result = systemctl(call, {"start", unit_}, within);
    if (result.ok() && comes_up(call, until)) return;
    std::string why;
    if (!result.ok() && !result.timed_out) {
      why = "systemctl exited with " + std::to_string(result.exit_code);
      if (!result.err_tail.empty()) why += ": " + sys::split(result.err_tail, '\n')[0];
    } else {
      const State now = state();
      why = now == State::stopped   ? "it ended at once"
            : now == State::running ? "it does not listen on port " + std::to_string(port_) + " after "
                                    : "not up after ";
      if (now != State::stopped) why += sys::show_duration(within);
    }
    if (std::string journal = journal_end(call, since); !journal.empty())
      why += "; its journal ends with: " + journal;
    throw Error(ErrorKind::permanent, "cannot start", name(), why, "systemctl status " + unit_);
  }

  bool can_enable() const override { return true; }

  bool enabled() const override { return show()["UnitFileState"].starts_with("enabled"); }

  void set_enabled(Call& call, bool wanted) override {
    const std::string verb = wanted ? "enable" : "disable";
    const sys::Result result = systemctl(call, {verb, unit_}, std::chrono::minutes(1));
    if (result.ok() && enabled() == wanted) return;
    throw Error(ErrorKind::permanent, "cannot " + verb, name(),
                result.ok() ? "its file says nothing of when it is started"
                            : "systemctl exited with " + std::to_string(result.exit_code) + ": " +
                                  sys::trim(result.err_tail),
                wanted ? "give its file a section [Install] with WantedBy=multi-user.target"
                       : "systemctl status " + unit_);
  }

  void stop(Call& call, std::chrono::milliseconds within) override {
    const sys::Result result = systemctl(call, {"stop", unit_}, within);
    if (result.ok() && ended()) return;
    throw Error(ErrorKind::permanent, "cannot stop", name(),
                result.timed_out ? "it still runs after " + sys::show_duration(within)
                                 : "systemctl exited with " + std::to_string(result.exit_code) + ": " +
                                       sys::trim(result.err_tail),
                "systemctl status " + unit_);
  }

 private:
  // To systemd a unit of type simple is up as soon as its process is there. One that ends again and is
  // restarted by systemd may come up yet.
  bool comes_up(Call& call, Clock::time_point until) const {
    sys::ProcessId process;
    Clock::time_point since;
    bool up = false;
    auto look = [&] {
      call.stop_here_if_wanted();
      auto unit = show();
      if (state_of(unit) == State::stopped) return true;
      if (state_of(unit) != State::running) {
        process = {};
        return false;
      }
      if (const auto now = main_process(unit); to_text(now) != to_text(process)) {
        process = now;
        since = Clock::now();
      }
      up = port_ == 0 ? Clock::now() - since >= settles_in : listens(process);
      return up;
    };
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    return sys::wait_until(left, look_every, {}, look) && up;
  }

  bool listens(const sys::ProcessId& process) const {
    return !sys::listeners_on(port_).empty() && (process.pid == 0 || strangers_on(port_, process).empty());
  }

  // Unit files may have been written by an earlier step since systemd last read them.
  void reload_if_needed(Call& call) const {
    auto unit = show();
    if (unit["NeedDaemonReload"] == "yes" || unit["LoadState"] == "not-found")
      systemctl(call, {"daemon-reload"}, std::chrono::minutes(1));
  }

  Properties show() const {
    sys::Command command;
    command.argv = {"systemctl",  "show",
                    "--no-pager", unit_,
                    "--property", "LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload"};
    Properties properties = {{"LoadState", "not-found"}};
    for (const std::string& line : sys::split(sys::output_of(command, "cannot ask systemd"), '\n'))
      if (std::size_t equals = line.find('='); equals != std::string::npos)
        properties[line.substr(0, equals)] = line.substr(equals + 1);
    return properties;
  }

  sys::Result systemctl(Call& call, std::vector<std::string> arguments,
                        std::chrono::milliseconds within) const {
    sys::Command command;
    command.argv = {"systemctl", "--no-ask-password"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.timeout = within;
    return call.run_program(std::move(command));
  }

  // The end of what the journal has of the unit since then, in seconds since 1970.
  std::string journal_end(Call& call, std::chrono::duration<double> since) const {
    if (sys::find_program("journalctl").empty()) return "";
    sys::Command command;
    command.timeout = std::chrono::seconds(10);
    command.argv = {"journalctl", "--sync"};  // what a process said last may not have been taken in yet
    call.run_program(command);
    // Not with -n: together with --since it would be the first lines.
    command.argv = {"journalctl", "--no-pager", "--quiet",
                    "-o",         "cat",        "-u",
                    unit_,        "--since",    "@" + std::to_string(since.count())};
    command.capture_tail = true;
    command.capture_limit = 1500;
    std::string text = call.run_program(std::move(command)).out;
    if (text.size() == 1500) text.erase(0, text.find('\n') + 1);
    return sys::mend_utf8(sys::trim(text));
  }

  std::string unit_;
  int port_;
};

}  // namespace

std::unique_ptr<Service> systemd_unit(std::string unit, int port) {
  return std::make_unique<SystemdUnit>(std::move(unit), port);
}

}  // namespace relight
