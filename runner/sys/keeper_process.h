// The keeper's own process: the loop that starts, watches and ends what a run starts.
#pragma once
#include <functional>
#include <vector>

#include "runner/sys/files.h"

namespace relight::sys {

enum class KeeperRequest { spawn, end };

// Never returns: it ends when the other end of the socket is closed, after every descendant is gone.
[[noreturn]] void keep(Fd socket, const std::function<int(int socket)>& worker,
                       const std::vector<int>& kept_fds, const std::vector<int>& own_fds);

// The launcher's: answers each request of its socket (keeper.cpp), until the other end is closed.
[[noreturn]] void serve_launches(Fd socket, const std::vector<int>& kept_fds);

}  // namespace relight::sys
