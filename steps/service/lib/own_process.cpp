#include "steps/service/lib/own_process.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "runner/step/env_file.h"
#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

using namespace std::chrono_literals;

constexpr const char* token_name = "RELIGHT_TOKEN";
constexpr auto look_every = 20ms;
constexpr double clock_slack = 2.0;  // seconds

// When a process was started, by the clock of the host.
double started_at(const sys::ProcessId& process) {
  timespec wall, boot;
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  const double since_boot = std::atof(process.start_time.c_str()) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(wall.tv_sec - boot.tv_sec) +
         1e-9 * static_cast<double>(wall.tv_nsec - boot.tv_nsec) + since_boot;
}

class OwnProcess : public Service {
 public:
  OwnProcess(OwnProcessPlan plan, std::string token) : plan_(std::move(plan)), token_(std::move(token)) {}

  std::string name() const override { return "the service of " + plan_.pid_file; }
  bool exists() const override { return true; }
  bool can_start() const override { return !plan_.command.empty(); }

  std::optional<sys::ProcessId> running() const override {
    auto process = there();
    return process && (plan_.port == 0 || listens(*process)) ? process : std::nullopt;
  }
  State state() const override {
    const auto process = there();
    if (!process) return State::stopped;
    return plan_.port == 0 || listens(*process) ? State::running : State::starting;
  }
  bool left_over() const override { return sys::exists(plan_.pid_file) && !by_pid_file(); }

  std::vector<Problem> lacks() const override {
    std::vector<Problem> lacks;
    const std::string program = sys::find_program(plan_.command.front());
    if (program.empty())
      lacks.push_back(
          {"the program is missing", plan_.command.front(), "it is not in PATH", "give its full path"});
    else if (!sys::exists(program))
      lacks.push_back({"the program is missing", program, "no such file", "check `command`"});
    else if (access(program.c_str(), X_OK) != 0)
      lacks.push_back({"the program cannot be run", program, "it is not executable", "chmod +x it"});
    lack_folder(lacks, "pid_file", plan_.pid_file);
    lack_folder(lacks, "log", plan_.log);
    if (!plan_.env_file.empty() && !sys::exists(plan_.env_file))
      lacks.push_back({"the env file is missing", plan_.env_file, "no such file", "check `env_file`"});
    if (!plan_.cwd.empty() && !sys::is_folder(plan_.cwd))
      lacks.push_back({"the working folder is missing", plan_.cwd, "no such folder", "check `cwd`"});
    if (plan_.port != 0)
      if (std::string strangers = strangers_on(plan_.port, there()); !strangers.empty())
        lacks.push_back({"the port is taken", std::to_string(plan_.port), strangers,
                         "stop it first: service.stop with the same port"});
    return lacks;
  }

  void start(Call& call, const std::string& token, std::chrono::milliseconds within) override {
    sys::Launch launch;
    launch.argv = plan_.command;
    launch.env = environment(token);
    launch.cwd = plan_.cwd;
    launch.log = plan_.log;
    launch.pid_file = plan_.pid_file;
    // The step's user is ours by now; the launcher is root still.
    if (geteuid() != 0) launch.as = sys::current_user().name;
    std::uint64_t log_size = size_of(plan_.log);
    // One that was started by an attempt that died before it was up.
    const auto waking = there();
    sys::ProcessId process = waking ? *waking : call.launch(launch);
    auto up = [&] {
      call.stop_here_if_wanted();
      if (!alive(process))
        throw Error(ErrorKind::permanent, "the service ended at once", plan_.command.front(), said(log_size),
                    "start it by hand to see why: " + sys::join(plan_.command, " "));
      return plan_.port != 0 && listens(process);
    };
    auto wait = plan_.port != 0 ? within : std::min(within, settles_in);
    if (!sys::wait_until(wait, look_every, {}, up) && plan_.port != 0)
      throw Error(ErrorKind::permanent, "the service does not listen", "port " + std::to_string(plan_.port),
                  "not after " + sys::show_duration(within) + ": " + said(log_size),
                  "it runs on: look into its log, or give it longer with `within`");
  }

  void stop(Call& call, std::chrono::milliseconds within) override {
    auto process = there();
    if (!process) return sys::remove_file(plan_.pid_file);
    // All of it: what it started may hold its port and its files.
    auto tree = sys::descendants_of(sys::proc_all(), {process->pid});
    auto left = [&] {
      call.stop_here_if_wanted();
      return std::none_of(tree.begin(), tree.end(), [](const auto& one) { return alive(one.process); });
    };
    signal(*process, SIGTERM);
    if (!sys::wait_until(within, look_every, {}, [&] {
          call.stop_here_if_wanted();
          return !alive(*process);
        }))
      call.log(name() + " did not end within " + sys::show_duration(within) + " of SIGTERM: SIGKILL");
    for (const sys::ProcStat& one : sys::descendants_of(sys::proc_all(), {process->pid})) tree.push_back(one);
    for (const sys::ProcStat& one : sys::proc_all())
      if (one.session == process->pid) tree.push_back(one);
    for (const sys::ProcStat& one : tree) signal(one.process, SIGKILL);
    if (!sys::wait_until(within, look_every, {}, left))
      throw Error(ErrorKind::permanent, "cannot stop", name(),
                  sys::show_process(process->pid) + " is still there after SIGKILL",
                  "it hangs in the kernel: look at its disk or network file system");
    if (!by_pid_file()) sys::remove_file(plan_.pid_file);
  }

 private:
  std::optional<sys::ProcessId> there() const {
    if (auto process = by_pid_file()) return process;
    return by_token();
  }

  bool listens(const sys::ProcessId& process) const {
    return !sys::listeners_on(plan_.port).empty() && strangers_on(plan_.port, process).empty();
  }

  static void lack_folder(std::vector<Problem>& lacks, const std::string& field, const std::string& path) {
    if (path.empty() || sys::is_folder(sys::parent_of(path))) return;
    lacks.push_back({"the folder of `" + field + "` is missing", sys::parent_of(path), "no such folder",
                     "make it before: host.directory"});
  }

  void signal(const sys::ProcessId& process, int number) const {
    if (int error = sys::signal_process(process, number); error != 0 && error != ESRCH)
      throw system_error(error, "cannot stop", name() + ", " + sys::show_process(process.pid),
                         "run relight as root, or as the service's user");
  }

  // The pid that the file names, unless that pid is another's by now: of a process that was started after the
  // file was written. The clock may have been set since, so that the service's own marks count for more.
  std::optional<sys::ProcessId> by_pid_file() const {
    struct stat info;
    auto text = sys::read_file_if_there(plan_.pid_file);
    if (!text || stat(plan_.pid_file.c_str(), &info) != 0) return std::nullopt;
    sys::ProcessId process = sys::process_now(std::atoi(text->c_str()));
    if (!alive(process)) return std::nullopt;
    const double written =
        static_cast<double>(info.st_mtim.tv_sec) + 1e-9 * static_cast<double>(info.st_mtim.tv_nsec);
    if (started_at(process) <= written + clock_slack || has_mark(process)) return process;
    return std::nullopt;
  }

  bool has_mark(const sys::ProcessId& process) const {
    if (sys::proc_env(process.pid, token_name)) return true;
    if (plan_.command.empty()) return false;
    char exe[4096];
    const ssize_t size = readlink(("/proc/" + std::to_string(process.pid) + "/exe").c_str(), exe, sizeof exe);
    return size > 0 && sys::name_of_path(std::string(exe, static_cast<std::size_t>(size))) ==
                           sys::name_of_path(plan_.command.front());
  }

  // The one that this very step started, though its pid file is lost: the first of those that have the token.
  std::optional<sys::ProcessId> by_token() const {
    std::optional<sys::ProcStat> first;
    for (const sys::ProcStat& stat : sys::proc_all())
      if (!stat.ended() && sys::proc_env(stat.process.pid, token_name) == token_ &&
          (!first || std::stoull(stat.process.start_time) < std::stoull(first->process.start_time) ||
           first->parent == stat.process.pid))
        first = stat;
    if (!first) return std::nullopt;
    return first->process;
  }

  // As systemd gives it: a service must not depend on the shell that relight was called from.
  std::map<std::string, std::string> environment(const std::string& token) const {
    const sys::User user = sys::current_user();
    std::map<std::string, std::string> env = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"HOME", user.home},
        {"USER", user.name},
        {"LOGNAME", user.name},
    };
    if (const char* language = std::getenv("LANG")) env["LANG"] = language;
    if (!plan_.env_file.empty()) {
      EnvFile file(sys::read_file(plan_.env_file, 1u << 20), plan_.env_file);
      for (const std::string& variable : file.names()) env[variable] = *file.value(variable);
    }
    for (const auto& [variable, value] : plan_.env) env[variable] = value;
    env[token_name] = token;
    return env;
  }

  static std::uint64_t size_of(const std::string& path) {
    struct stat info;
    return !path.empty() && stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  }

  std::string said(std::uint64_t from) const {
    if (plan_.log.empty()) return "it has no `log` that could tell why";
    std::string end = end_of_log(plan_.log, from);
    return end.empty() ? "it wrote nothing into its log" : "its log ends with: " + end;
  }

  OwnProcessPlan plan_;
  std::string token_;
};

}  // namespace

std::unique_ptr<Service> own_process(OwnProcessPlan plan, std::string token) {
  return std::make_unique<OwnProcess>(std::move(plan), std::move(token));
}

}  // namespace relight
