#include "steps/postgres/lib/ssh_login.h"

#include "runner/sys/error.h"
#include "runner/sys/process.h"

namespace relight::postgres {

std::vector<std::string> ssh_to(const std::string& host, const std::string& socket) {
  std::vector<std::string> argv = {
      "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-T"};
  if (!socket.empty()) argv.insert(argv.end(), {"-S", socket, "-o", "ControlMaster=no"});
  argv.push_back(host);
  return argv;
}

SshLogin::SshLogin(const std::string& host) {
  // 108 bytes at most, to which it adds 17 of its own; and % begins what it puts in.
  constexpr std::size_t longest = 85;
  const std::string path = folder_.path() + "/ssh";
  if (path.size() > longest || path.find('%') != std::string::npos) return;
  socket_ = path;
  sys::Command command;
  command.argv = ssh_to(host, socket());
  command.argv.insert(command.argv.end() - 1, {"-M", "-N", "-o", "ControlPersist=no"});
  command.cwd = "/";
  command.stop = [this] { return over_.load(); };
  thread_ = std::thread([command] {
    try {
      sys::run(command);
    } catch (const Error&) {
      // There is no ssh: the first command says so.
    }
  });
}

SshLogin::~SshLogin() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

}  // namespace relight::postgres
