#include "runner/step/in_image.h"

#include <exception>

#include "runner/sys/docker.h"
#include "runner/sys/error.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

std::string label_of(const Call& call) {
  return "relight.step=" + call.run() + "/" + call.step();
}

// As docker's --mount reads it: fields like those of a CSV file.
std::string mount_of(const std::string& place, bool to_read) {
  const auto quoted = [](const std::string& field) {
    if (field.find_first_of(",\"") == std::string::npos) return field;
    std::string text = "\"";
    for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
    return text + "\"";
  };
  return "type=bind," + quoted("source=" + place) + "," + quoted("target=" + place) +
         (to_read ? ",readonly" : "");
}

sys::Result docker(std::vector<std::string> arguments) {
  sys::Command command;
  command.argv = {"docker"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.timeout = std::chrono::minutes(1);
  return sys::run(command);
}

}  // namespace

sys::Command in_image(sys::Command command, const InImage& in, const Call& call) {
  std::vector<std::string> argv = {
      "docker", "run", "--rm", "--label", in.label.empty() ? label_of(call) : in.label,
      // What it prints is relight's: the engine is to keep nothing of it.
      "--log-driver", "none", "--no-healthcheck",
      // Owners and folders are this host's.
      "--userns", "host", "--security-opt", "label=disable", "--network", in.network ? "host" : "none",
      "--user", std::to_string(in.user.uid) + ":" + std::to_string(in.user.gid), "--workdir",
      command.cwd.empty() ? "/" : command.cwd};
  if (in.host_pids) argv.insert(argv.end(), {"--pid", "host"});
  for (const std::string& place : in.places) argv.insert(argv.end(), {"--mount", mount_of(place, false)});
  for (const std::string& place : in.reads) argv.insert(argv.end(), {"--mount", mount_of(place, true)});
  const auto secret = command.extra_env.find(in.secret);
  const bool has_secret = secret != command.extra_env.end();
  for (const auto& [name, value] : command.extra_env) {
    if (has_secret && name == in.secret) continue;
    if (name == "PATH" || name == "HOME" || name.starts_with("DOCKER_"))
      throw Error(ErrorKind::refused, "cannot set a variable in a container", name,
                  "docker itself would take it");
    argv.insert(argv.end(), {"--env", name});
  }
  std::vector<std::string> program = command.argv;
  if (has_secret) {
    // A container's variables are written into the engine's own folder: this one comes by standard input.
    argv.emplace_back("--interactive");
    program.insert(
        program.begin(),
        {"/bin/sh", "-c", "IFS= read -r " + in.secret + " && export " + in.secret + " && exec \"$@\"", "sh"});
    command.stdin_text = secret->second + "\n";
    command.extra_env.erase(secret);
  }
  argv.insert(argv.end(), {"--entrypoint", program.at(0), in.image});
  argv.insert(argv.end(), program.begin() + 1, program.end());
  command.argv = std::move(argv);
  command.cwd.clear();
  return command;
}

void end_in_image(const Call& call) {
  end_in_image(label_of(call));
}

void end_in_image(const std::string& label) {
  const auto left = [&] {
    const sys::Result result = docker({"ps", "-a", "-q", "--no-trunc", "--filter", "label=" + label});
    if (!result.ok()) sys::Docker([](sys::Command command) { return sys::run(command); }).need_engine();
    return sys::trim(result.out);
  };
  std::string found;
  // One that has just ended by itself is being removed by the engine.
  if (sys::wait_until(std::chrono::seconds(30), std::chrono::milliseconds(100), {}, [&] {
        found = left();
        if (found.empty()) return true;
        std::vector<std::string> remove = {"rm", "--force", "--volumes"};
        for (const std::string& id : sys::split(found, '\n')) remove.push_back(id);
        docker(std::move(remove));
        return false;
      }))
    return;
  throw Error(ErrorKind::needs_person, "a program of an earlier attempt does not end",
              "container " + found.substr(0, 12), "it is still there after docker rm -f",
              "see why with docker inspect, end it, then resume");
}

EndsInImage::EndsInImage(Call& call, bool used)
    : call_(call), used_(used), exceptions_(std::uncaught_exceptions()) {}

EndsInImage::~EndsInImage() {
  if (!used_ || std::uncaught_exceptions() == exceptions_) return;
  try {
    end_in_image(call_);
  } catch (const std::exception& error) {
    call_.log(error.what());
  }
}

}  // namespace relight
