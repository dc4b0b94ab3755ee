#include "steps/postgres/lib/programs.h"

#include <unistd.h>

#include "runner/sys/files.h"

namespace relight::postgres {

std::string package_of(int major) {
  return "postgresql-" + std::to_string(major);
}

std::optional<Programs> Programs::find(int major) {
  const std::string version = std::to_string(major);
  const std::string debian = "/usr/lib/postgresql/" + version + "/bin";
  if (sys::exists(debian + "/postgres")) return Programs(major, debian);
  const std::string found = sys::find_program("postgres");
  if (found.empty()) return std::nullopt;
  sys::Command command;
  command.argv = {found, "--version"};
  const sys::Result told = sys::run(command);
  // "postgres (PostgreSQL) 15.20 (Debian ...)"
  if (told.out.find(") " + version + ".") == std::string::npos) return std::nullopt;
  return Programs(major, sys::parent_of(found));
}

std::string Programs::path(const std::string& name) const {
  return folder_ + "/" + name;
}

bool Programs::has(const std::string& name) const {
  return access(path(name).c_str(), X_OK) == 0;
}

sys::Command Programs::command(const std::string& name, const std::vector<std::string>& arguments) const {
  sys::Command command;
  command.argv.push_back(path(name));
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.extra_env = {{"LC_ALL", "C"}, {"TZ", "UTC"}};
  return command;
}

}  // namespace relight::postgres
