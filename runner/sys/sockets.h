// Who listens on which TCP port of this host, as /proc/net tells it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/proc.h"

namespace relight::sys {

struct Listener {
  std::string address;  // "127.0.0.1", "::1"; "0.0.0.0" and "::" are every address
  int port = 0;
  std::uint64_t inode = 0;
};

// As seen from the network of a process; 0: ours. Nobody where it may not be looked into.
std::vector<Listener> listeners_on(int port, int pid = 0);

// Which of the processes hold the socket. Another user's processes can be looked into by root alone.
std::vector<ProcStat> holders_of_socket(std::uint64_t inode, const std::vector<ProcStat>& among);

// "process 12 (ember)", for messages; pid alone where its name is not to be seen.
std::string show_process(int pid);

}  // namespace relight::sys
