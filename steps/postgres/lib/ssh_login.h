// One login by ssh for many commands: a login takes longer than most of what is asked, and the more so the
// farther the host is.
#pragma once
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "runner/sys/files.h"

namespace relight::postgres {

// An ssh to the host that asks for nothing, up to the command it is to run there. Through the login of that
// socket while it lives; else, as where none is named, by a login of its own.
std::vector<std::string> ssh_to(const std::string& host, const std::string& socket = "");

// Is made beside the caller, who does not wait for it; its faults are those of the commands, which then log
// in themselves. Ends with the object.
class SshLogin {
 public:
  explicit SshLogin(const std::string& host);
  ~SshLogin();
  SshLogin(const SshLogin&) = delete;
  // Empty where ssh could not take its name: then there is no login, and each command makes its own.
  const std::string& socket() const { return socket_; }

 private:
  const sys::TempFolder folder_;
  std::string socket_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace relight::postgres
