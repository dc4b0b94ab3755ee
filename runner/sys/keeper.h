// The keeper: a small single-threaded process, a subreaper, under which every child of a run lives. When
// the process that started it is gone, it ends every descendant and then itself. Beside it the launcher,
// which starts services that are to outlive the run, and which is no descendant of the keeper.
//
// Both are forked, not exec'd, so start() must be called early: before threads, before secrets are read.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/launch.h"
#include "runner/sys/process.h"

namespace relight::sys {

struct Spawn {
  // A program: argv is not empty. The whole environment, cwd, and the user are set between vfork and exec.
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string cwd;
  std::string as;  // user; empty: unchanged
  // A worker (argv is empty): the keeper forks itself and calls the worker function with this socket.
  int socket = -1;
  int stdin_fd = -1;   // -1: /dev/null
  int output_fd = -1;  // stdout and stderr; -1: /dev/null
  int stdout_fd = -1;  // stdout alone, where it is wanted apart; -1: output_fd
  std::string tag;     // RELIGHT_STEP in the environment of a program and of what it starts: RUN/STEP/ATTEMPT
};
// The descriptors stay the caller's, who closes its copies after spawn().

struct KeeperEvent {
  enum class Kind { started, not_started, ended } kind;
  std::uint64_t id = 0;
  ProcessId process;  // started
  std::string why;    // not_started: "exec /bin/x: No such file or directory"
  int exit_code = 0;  // ended: 128 + signal when ended by one
  int signal = 0;
  int left_behind = 0;  // ended: processes of it that were still there and were ended with it
};

enum class Launcher { beside, none };  // none: nothing may be launched

class Keeper {
 public:
  // `worker` is run in a forked child of the keeper: (socket) -> exit code. `kept_fds` (a liveness
  // file) stay open in the keeper and in all that it starts, `own_fds` (a lock) in the keeper alone, and
  // neither in what the launcher starts.
  static Keeper start(std::function<int(int socket)> worker, const std::vector<int>& kept_fds,
                      const std::vector<int>& own_fds = {}, Launcher launcher = Launcher::beside);
  ~Keeper();  // ends every descendant, waits for the keeper and the launcher to be gone
  Keeper(Keeper&&) noexcept;

  int fd() const;                           // readable: events() has something
  std::uint64_t spawn(const Spawn& spawn);  // what becomes of it comes as events
  // SIGTERM to the whole tree of it (by parentage, process group, session and tag), SIGKILL after `grace`;
  // its `ended` event comes when all of it is gone.
  void end(std::uint64_t id, std::chrono::milliseconds grace);
  std::vector<KeeperEvent> events();  // what has come, without waiting; throws Error when the keeper is gone
  ProcessId launch(const Launch& launch);  // by the launcher; waits for its answer

 private:
  Keeper();
  struct State;
  std::unique_ptr<State> state_;
};

// Who holds a liveness file of an earlier attempt: processes that inherited it and are still alive.
std::vector<ProcessId> holders_of(const std::string& liveness_file);
// Ends them (SIGKILL) and waits; returns those that could not be ended in time.
std::vector<ProcessId> end_holders(const std::string& liveness_file, std::chrono::milliseconds within);
// The same for those whose tag begins so: who closed every descriptor still bears it in its environment.
std::vector<ProcessId> end_tagged(const std::string& tag_start, std::chrono::milliseconds within);

}  // namespace relight::sys
