#include "steps/postgres/lib/client_program.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "runner/step/in_image.h"
#include "runner/sys/files.h"

namespace relight::postgres {

ClientProgram ClientProgram::of_host(const std::string& name, int server_major) {
  // Not what PATH finds first: Debian puts a chooser of versions there, which asks for a cluster.
  int best = 0;
  std::error_code ignored;  // no such folder: PATH is left
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int major = std::atoi(version.path().filename().c_str());
    if (major == 0 || access((version.path() / "bin" / name).c_str(), X_OK) != 0) continue;
    const auto worth = [&](int m) { return m >= server_major ? 1'000'000 - m : m; };
    const bool better = server_major == 0 ? major > best : best == 0 || worth(major) > worth(best);
    if (better) best = major;
  }
  if (best != 0) return at("/usr/lib/postgresql/" + std::to_string(best) + "/bin/" + name);
  return at(sys::find_program(name));
}

ClientProgram ClientProgram::at(const std::string& path) {
  ClientProgram program;
  program.path_ = path;
  return program;
}

ClientProgram ClientProgram::of_image(const std::string& name, const std::string& image, const Call& call) {
  ClientProgram program;
  program.path_ = name;
  program.image_ = image;
  program.call_ = &call;
  return program;
}

bool ClientProgram::there() const {
  if (image_.empty()) return !path_.empty();
  return sys::run(command({"--version"}, {})).ok();
}

std::string ClientProgram::name() const {
  return sys::name_of_path(path_);
}

std::string ClientProgram::mend() const {
  return image_.empty() ? "install postgresql-client"
                        : "the image " + image_ + " does not run it: see with docker run";
}

sys::Command ClientProgram::command(std::vector<std::string> arguments, std::vector<std::string> places,
                                    std::map<std::string, std::string> variables) const {
  sys::Command command;
  command.argv = std::move(arguments);
  command.argv.insert(command.argv.begin(), path_);
  command.extra_env = std::move(variables);
  if (image_.empty()) return command;
  places.insert(places.end(), sees_.begin(), sees_.end());
  return in_image(std::move(command),
                  {.image = image_,
                   .user = user_.value_or(sys::Owner{geteuid(), getegid()}),
                   .places = std::move(places),
                   .network = true,
                   .secret = "PGPASSWORD"},
                  *call_);
}

}  // namespace relight::postgres
