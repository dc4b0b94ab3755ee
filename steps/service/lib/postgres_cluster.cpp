#include "steps/service/lib/postgres_cluster.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <regex>

#include "runner/sys/files.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

using namespace std::chrono_literals;

class PostgresCluster : public Service {
 public:
  explicit PostgresCluster(ClusterName cluster) : cluster_(std::move(cluster)) {}

  std::string name() const override { return "unit postgresql@" + cluster_.version + "-" + cluster_.name; }
  bool exists() const override { return sys::exists(config() + "/postgresql.conf"); }

  // Known by its data folder: the pid that postmaster.pid names counts only if it works there.
  std::optional<sys::ProcessId> running() const override {
    if (!exists()) return std::nullopt;
    const std::string data = data_folder();
    const auto lines = pid_file(data);
    if (lines.empty()) return std::nullopt;
    sys::ProcessId process = sys::process_now(std::atoi(lines[0].c_str()));
    char folder[4096];
    const ssize_t size =
        readlink(("/proc/" + std::to_string(process.pid) + "/cwd").c_str(), folder, sizeof folder);
    if (!alive(process)) return std::nullopt;
    if (size > 0 && !same_folder(std::string(folder, static_cast<std::size_t>(size)), data))
      return std::nullopt;
    return process;
  }

  std::vector<Problem> lacks() const override {
    if (sys::find_program("pg_ctlcluster").empty())
      return {{"the program is missing", "pg_ctlcluster", "postgresql-common is not installed",
               "install the server first: host.packages"}};
    if (!exists())
      return {{"no such cluster", cluster_.version + "/" + cluster_.name,
               config() + " has no postgresql.conf",
               "restore its configuration first: postgres.recover with `config`"}};
    return {};
  }

  void start(Call& call, const std::string&, std::chrono::milliseconds within) override {
    const std::string data = data_folder();
    const std::string log =
        "/var/log/postgresql/postgresql-" + cluster_.version + "-" + cluster_.name + ".log";
    struct stat info;
    const std::uint64_t log_from =
        stat(log.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
    // pg_ctlcluster becomes the server itself: a daemon started under the keeper would end with this step.
    // What it says before that goes into a file that is ours.
    sys::TempFolder folder;
    sys::Launch launch;
    launch.argv = {"pg_ctlcluster",  "--skip-systemctl-redirect",
                   "--foreground",   "--stdlog",
                   cluster_.version, cluster_.name,
                   "start"};
    launch.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    launch.log = folder.path() + "/log";
    if (geteuid() != 0) launch.as = sys::current_user().name;
    const sys::ProcessId launched = call.launch(launch);
    auto ready = [&] {
      call.stop_here_if_wanted();
      const auto lines = pid_file(data);
      // Line 8 is the server's own word on itself.
      const std::string state = lines.size() > 7 ? sys::trim(lines[7]) : "";
      if ((state == "ready" || state == "standby") && running()) return true;
      if (alive(launched)) return false;
      throw Error(ErrorKind::permanent, "cannot start", name(), said(folder.path() + "/log", log, log_from),
                  "its whole log is " + log);
    };
    if (!sys::wait_until(within, 50ms, {}, ready))
      throw Error(ErrorKind::permanent, "cannot start", name(),
                  "not ready after " + sys::show_duration(within) + ": " +
                      said(folder.path() + "/log", log, log_from),
                  "it goes on starting: wait for it with pg_lsclusters, then resume; or give it longer with "
                  "`within`");
  }

  void stop(Call& call, std::chrono::milliseconds within) override {
    sys::Command command;
    command.argv = {"pg_ctlcluster",
                    "--skip-systemctl-redirect",
                    cluster_.version,
                    cluster_.name,
                    "stop",
                    "-m",
                    "fast",
                    "--",
                    "-t",
                    std::to_string(std::max<long long>(
                        1, std::chrono::duration_cast<std::chrono::seconds>(within).count()))};
    command.timeout = within + 10s;
    const auto server = running();
    sys::Result result = call.run_program(std::move(command));
    // Its pid file goes a moment before it does, and its port with it.
    if (!running() && (!server || sys::wait_until(10s, 10ms, {}, [&] { return !alive(*server); }))) return;
    std::string said = sys::trim(result.err_tail);
    throw Error(ErrorKind::permanent, "cannot stop", name(),
                "it still runs after " + sys::show_duration(within) + (said.empty() ? "" : ": " + said),
                "see who is connected; `within` gives it longer");
  }

 private:
  std::string config() const { return "/etc/postgresql/" + cluster_.version + "/" + cluster_.name; }

  std::string data_folder() const {
    static const std::regex setting(R"(^\s*data_directory\s*=?\s*'([^']+)')", std::regex::icase);
    std::string found = "/var/lib/postgresql/" + cluster_.version + "/" + cluster_.name;
    for (const std::string& line : sys::split(sys::read_file(config() + "/postgresql.conf"), '\n'))
      if (std::smatch match; std::regex_search(line, match, setting)) found = match[1];  // the last counts
    return found;
  }

  static std::vector<std::string> pid_file(const std::string& data) {
    auto text = sys::read_file_if_there(data + "/postmaster.pid");
    return text ? sys::split(*text, '\n') : std::vector<std::string>();
  }

  static bool same_folder(const std::string& a, const std::string& b) {
    struct stat one, other;
    return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
  }

  static std::string said(const std::string& first, const std::string& log, std::uint64_t from) {
    std::string text = end_of_log(first);
    if (std::string more = end_of_log(log, from); !more.empty()) text += (text.empty() ? "" : "\n") + more;
    return text.empty() ? "it said nothing" : text;
  }

  ClusterName cluster_;
};

}  // namespace

std::optional<ClusterName> cluster_of_unit(const std::string& unit) {
  static const std::regex form(R"(postgresql@(\d+(?:\.\d+)?)-([A-Za-z0-9_.-]+?)(?:\.service)?)");
  std::smatch match;
  if (!std::regex_match(unit, match, form)) return std::nullopt;
  return ClusterName{match[1], match[2]};
}

std::unique_ptr<Service> postgres_cluster(ClusterName cluster) {
  return std::make_unique<PostgresCluster>(std::move(cluster));
}

}  // namespace relight
