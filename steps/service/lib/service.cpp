#include "steps/service/lib/service.h"

#include <algorithm>
#include <fstream>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "steps/service/lib/compose_service.h"
#include "steps/service/lib/own_process.h"
#include "steps/service/lib/postgres_cluster.h"
#include "steps/service/lib/systemd_unit.h"

namespace relight {
namespace {

std::string bare(std::string unit) {
  if (unit.ends_with(".service")) unit.resize(unit.size() - 8);
  return unit;
}

// What a preview may know of the variables: their secrets are read by the start alone.
std::map<std::string, std::string> environment(const Params& params, const Call& call) {
  if (call.previewing()) return {};
  return params.environment("env");
}

}  // namespace

std::unique_ptr<Service> service_of(const Params& params, Call& call) {
  const char* hint = "give `unit`, `via`, or `command` and `pid_file` where no systemd runs it";
  const int port = params.has("port") ? call.port(static_cast<int>(params.integer("port"))) : 0;
  if (const auto via = via_of(params, call)) {
    if (params.has("unit") || params.has("command") || params.has("pid_file"))
      throw Error(ErrorKind::refused, "cannot tell which service is meant", via->text(),
                  "`via` and `unit`, `pid_file` or `command` are given", hint);
    return compose_service(*via, port, call);
  }
  if (params.has("unit")) {
    if (params.has("command") || params.has("pid_file"))
      throw Error(ErrorKind::refused, "cannot tell which service is meant", params.text("unit"),
                  "`unit` and `pid_file` or `command` are given", hint);
    const std::string unit = bare(params.text("unit"));
    if (sys::is_folder(call.place("/run/systemd/system"))) return systemd_unit(unit, port);
    if (auto cluster = cluster_of_unit(unit)) return postgres_cluster(*cluster);
    throw Error(ErrorKind::refused, "cannot drive the unit", unit, "systemd does not run on this host",
                unit == "postgresql" ? "name the cluster: unit = \"postgresql@15-main\""
                                     : "give `command` and `pid_file` in place of `unit`");
  }
  if (!params.has("pid_file"))
    throw Error(ErrorKind::refused, "cannot tell which service is meant", call.step(),
                "no `pid_file` is given", hint);
  OwnProcessPlan plan;
  if (params.has("command")) plan.command = params.list("command");
  plan.pid_file = call.place(params.text("pid_file"));
  if (params.has("env_file")) plan.env_file = call.place(params.text("env_file"));
  if (params.has("log")) plan.log = call.place(params.text("log"));
  if (params.has("cwd")) plan.cwd = call.place(params.text("cwd"));
  plan.port = port;
  plan.env = environment(params, call);
  return own_process(std::move(plan), token_of(call));
}

std::vector<std::string> service_targets(const Params& params) {
  if (params.has("unit") && params.known("unit")) return {"unit:" + bare(params.text("unit"))};
  if (params.has("pid_file") && params.known("pid_file")) return {"service:" + params.text("pid_file")};
  return via_target(params);
}

std::vector<Field> service_fields(bool starts) {
  const std::string undo = starts ? "" : "; undo starts it by that again";
  return {
      {"unit",
       FieldType::text,
       false,
       "",
       "a unit of systemd; where none runs, `postgresql@V-NAME` is driven by pg_ctlcluster",
       "\"aihummer\"",
       {}},
      via_field("a service that runs under docker compose; its file says how it is started"),
      {"command",
       FieldType::argv,
       false,
       "",
       "the service's program, for hosts without systemd" + undo,
       "{ \"/opt/aihummer/current/bin/aihummer\", \"serve\" }",
       {}},
      {"pid_file",
       FieldType::path,
       false,
       "",
       "where its process id stands; needed without `unit`",
       "\"/run/aihummer.pid\"",
       {}},
      {"env_file",
       FieldType::path,
       false,
       "",
       "its environment, NAME=value lines",
       "\"/etc/aihummer/env\"",
       {}},
      {"env",
       FieldType::env,
       false,
       "",
       "further variables, over those of `env_file`",
       "{ PORT = \"8080\" }",
       {}},
      {"log",
       FieldType::path,
       false,
       "",
       "what it prints is appended there; nowhere when not given",
       "\"/var/log/aihummer.log\"",
       {}},
      {"cwd",
       FieldType::path,
       false,
       "",
       "the folder that it runs in; / when not given",
       "\"/var/lib/aihummer\"",
       {}},
      {"port",
       FieldType::integer,
       false,
       "",
       starts ? "the TCP port on which it is up when it listens"
              : "the TCP port that must be free once it is stopped",
       "8080",
       {}},
      {"within",
       FieldType::duration,
       false,
       starts ? "\"1m\"" : "\"30s\"",
       starts ? "how long it may take to be up" : "how long it may take to end; then SIGKILL, but for units",
       "\"2m\"",
       {}},
  };
}

std::string token_of(const Call& call) {
  return call.run() + "/" + call.step();
}

std::string service_state(const Params& params, Call& call) {
  auto service = service_of(params, call);
  if (!service->exists()) return "absent";
  return service->meant_to_run() ? "running" : "stopped";
}

std::string Service::strangers(int port) const {
  return strangers_on(port, running());
}

std::string strangers_on(int port, const std::optional<sys::ProcessId>& service) {
  auto all = sys::proc_all();
  std::vector<sys::ProcStat> ours;
  if (service && service->pid > 0) ours = sys::descendants_of(all, {service->pid});
  for (const sys::Listener& listener : sys::listeners_on(port)) {
    if (!sys::holders_of_socket(listener.inode, ours).empty()) continue;
    auto holders = sys::holders_of_socket(listener.inode, all);
    return (holders.empty() ? "a process that may not be seen" : sys::show_process(holders[0].process.pid)) +
           " listens on " + listener.address + " port " + std::to_string(port);
  }
  return "";
}

void wait_for_free_port(Call& call, int port, std::chrono::milliseconds within) {
  std::string strangers;
  if (sys::wait_until(within, std::chrono::milliseconds(20), {}, [&] {
        call.stop_here_if_wanted();
        strangers = strangers_on(port, std::nullopt);
        return strangers.empty();
      }))
    return;
  throw Error(ErrorKind::permanent, "the port is not free", std::to_string(port), strangers,
              "stop that process, or correct `port`");
}

void refuse_lacks(const Service& service) {
  for (const Problem& lack : service.lacks())
    throw Error(ErrorKind::refused, lack.what, lack.on, lack.why, lack.hint);
}

std::string end_of_log(const std::string& path, std::uint64_t from) {
  constexpr std::uint64_t at_most = 1500;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  auto size = static_cast<std::uint64_t>(std::max<std::streamoff>(0, file.tellg()));
  if (size <= from) return "";
  const bool cut = size - from > at_most;
  const std::uint64_t begin = cut ? size - at_most : from;
  std::string text(size - begin, '\0');
  file.seekg(static_cast<std::streamoff>(begin));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (cut)
    if (std::size_t line = text.find('\n'); line != std::string::npos) text.erase(0, line + 1);
  return sys::mend_utf8(sys::trim(text));
}

}  // namespace relight
