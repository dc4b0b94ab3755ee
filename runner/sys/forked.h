// What a process that was forked and does not exec does first.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runner/sys/spawn.h"

namespace relight::sys {

// The keeper's and the launcher's: a session of its own, deaf to a terminal's signals, no core file, no
// descriptor but these.
void detach(const char* name, const std::vector<int>& fds);

// Forks a worker from the keeper, single-threaded: a session, the environment, folder, user and descriptors
// of `exec`, its own subreaper, not to be read by others of its user; then worker(socket), and its code is
// the exit code. Returns its pid; throws Error where there is no such user, or no process could be made.
int fork_worker(const Exec& exec, int socket, const std::string& tag, const std::function<int(int)>& worker);

}  // namespace relight::sys
