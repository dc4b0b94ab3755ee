#include "steps/service/lib/systemd_unit.h"

#include <cstdlib>
#include <map>

#include "runner/sys/text.h"

namespace relight {
namespace {

class SystemdUnit : public Service {
 public:
  explicit SystemdUnit(std::string unit) : unit_(std::move(unit)) {}

  std::string name() const override { return "unit " + unit_; }

  bool exists() const override { return show().at("LoadState") != "not-found"; }

  std::optional<sys::ProcessId> running() const override {
    auto unit = show();
    const std::string& state = unit["ActiveState"];
    if (state != "active" && state != "reloading" && state != "activating" && state != "deactivating")
      return std::nullopt;
    const int pid = std::atoi(unit["MainPID"].c_str());
    return pid > 0 ? sys::process_now(pid) : sys::ProcessId{};
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
    if (show()["UnitFileState"] != "disabled") return {};
    return {"unit " + unit_ + " is not enabled: it does not come back after a reboot (systemctl enable " +
            unit_ + ")"};
  }

  void start(Call& call, const std::string&, std::chrono::milliseconds within) override {
    reload_if_needed(call);
    if (show()["ActiveState"] == "failed") systemctl(call, {"reset-failed", unit_}, within);
    sys::Result result = systemctl(call, {"start", unit_}, within);
    if (result.ok() && running()) return;
    std::string why = result.timed_out ? "not up after " + sys::show_duration(within)
                                       : "systemctl exited with " + std::to_string(result.exit_code);
    if (std::string journal = journal_end(call); !journal.empty())
      why += "; its journal ends with: " + journal;
    throw Error(ErrorKind::permanent, "cannot start", name(), why, "systemctl status " + unit_);
  }

  void stop(Call& call, std::chrono::milliseconds within) override {
    sys::Result result = systemctl(call, {"stop", unit_}, within);
    if (result.ok() && !running()) return;
    throw Error(ErrorKind::permanent, "cannot stop", name(),
                result.timed_out ? "it still runs after " + sys::show_duration(within)
                                 : "systemctl exited with " + std::to_string(result.exit_code) + ": " +
                                       sys::trim(result.err_tail),
                "systemctl status " + unit_);
  }

 private:
  // Unit files may have been written by an earlier step since systemd last read them.
  void reload_if_needed(Call& call) const {
    auto unit = show();
    if (unit["NeedDaemonReload"] == "yes" || unit["LoadState"] == "not-found")
      systemctl(call, {"daemon-reload"}, std::chrono::minutes(1));
  }

  std::map<std::string, std::string> show() const {
    sys::Command command;
    command.argv = {"systemctl",  "show",
                    "--no-pager", unit_,
                    "--property", "LoadState,ActiveState,MainPID,UnitFileState,NeedDaemonReload"};
    std::map<std::string, std::string> properties = {{"LoadState", "not-found"}};
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

  std::string journal_end(Call& call) const {
    if (sys::find_program("journalctl").empty()) return "";
    sys::Command command;
    command.argv = {"journalctl", "--no-pager", "--quiet", "-n", "10", "-o", "cat", "-u", unit_};
    command.timeout = std::chrono::seconds(10);
    return sys::trim(call.run_program(std::move(command)).out);
  }

  std::string unit_;
};

}  // namespace

std::unique_ptr<Service> systemd_unit(std::string unit) {
  return std::make_unique<SystemdUnit>(std::move(unit));
}

}  // namespace relight
