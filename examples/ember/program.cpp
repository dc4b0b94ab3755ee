#include "examples/ember/program.h"

#include <libpq-fe.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

extern char** environ;

namespace ember {
namespace {

std::map<std::string, std::string> environment_of(const std::string& conninfo) {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry; ++entry) {
    std::string text = *entry;
    environment[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(conninfo.c_str(), nullptr), PQconninfoFree);
  if (!options) throw std::runtime_error("the conninfo of the database is not understood");
  for (auto* option = options.get(); option->keyword; ++option)
    if (option->val && option->envvar) environment[option->envvar] = option->val;
  // These are not for the children.
  environment.erase("EMBER_MASTER_KEY");
  environment.erase("EMBER_MEDIA_TOKEN_SECRET");
  return environment;
}

}  // namespace

void run_with_conninfo(const std::vector<std::string>& argv, const std::string& conninfo) {
  std::vector<std::string> entries;
  for (auto& [name, value] : environment_of(conninfo)) entries.push_back(name + "=" + value);
  std::vector<char*> arguments, environment;
  for (auto& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  for (auto& entry : entries) environment.push_back(entry.data());
  arguments.push_back(nullptr);
  environment.push_back(nullptr);

  pid_t pid = 0;
  if (int fault = ::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environment.data()))
    throw std::runtime_error("cannot run " + argv[0] + ": " + std::strerror(fault));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw std::runtime_error("cannot wait for " + argv[0] + ": " + std::strerror(errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error(argv[0] + " failed: its own message is above");
}

}  // namespace ember
