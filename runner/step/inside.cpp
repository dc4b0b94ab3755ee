#include "runner/step/inside.h"

#include <csignal>

#include "runner/sys/proc.h"
#include "runner/sys/sockets.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

constexpr const char* exec_token_name = "RELIGHT_EXEC";

std::string exec_token(const Call& call) {
  return call.run() + "/" + call.step();
}

std::vector<sys::ProcessId> left_inside(const Call& call) {
  std::vector<sys::ProcessId> left;
  const std::string token = exec_token(call);
  for (const sys::ProcStat& stat : sys::proc_all())
    if (!stat.ended() && sys::proc_env(stat.process.pid, exec_token_name) == token)
      left.push_back(stat.process);
  return left;
}

}  // namespace

sys::Result run_inside(const Via& via, sys::Command command, Call& call) {
  std::vector<std::string> argv = {"docker", "exec", "--env", exec_token_name};
  if (!command.stdin_text.empty()) argv.emplace_back("-i");
  if (!command.cwd.empty()) argv.insert(argv.end(), {"--workdir", command.cwd});
  for (const auto& [name, value] : command.extra_env) {
    if (name == "PATH" || name == "HOME" || name.starts_with("DOCKER_"))
      throw Error(ErrorKind::refused, "cannot set a variable in a container", name,
                  "docker itself would take it",
                  "set it there: command = { \"env\", \"" + name + "=...\", ... }");
    argv.insert(argv.end(), {"--env", name});
  }
  argv.push_back(container_of(via, call).id);
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  command.argv = std::move(argv);
  command.extra_env[exec_token_name] = exec_token(call);
  command.cwd.clear();
  try {
    sys::Result result = call.run_program(std::move(command));
    if (result.timed_out) end_inside(call);
    return result;
  } catch (const Stopped&) {
    end_inside(call);
    throw;
  }
}

void end_inside(const Call& call) {
  std::vector<sys::ProcessId> left;
  if (sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(20), {}, [&] {
        left = left_inside(call);
        for (const sys::ProcessId& process : left) sys::signal_process(process, SIGKILL);
        return left.empty();
      }))
    return;
  throw Error(ErrorKind::needs_person, "a program of an earlier attempt does not end", exec_token(call),
              sys::show_process(left[0].pid) + " in a container is still there after SIGKILL",
              "end it as root, then resume");
}

void foresee_inside(const Via& via, Call& call, Preview& preview) {
  if (!foresee_via(via, call, preview)) return;
  try {
    container_of(via, call);
  } catch (const Error& error) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back(error.on + ": " + error.why + ", unless an earlier step starts it");
  }
}

}  // namespace relight
