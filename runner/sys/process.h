// Programs are started with argument vectors, in a process group of their own, and ended by it.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relight::sys {

struct Command {
  std::vector<std::string> argv;                          // argv[0] absolute, or found in PATH
  std::optional<std::map<std::string, std::string>> env;  // the whole environment; unset: our own
  std::map<std::string, std::string> extra_env;           // over `env`
  std::string cwd;                                        // empty: unchanged, but / with another user
  // User; empty: unchanged. Needs root: else a permanent Error. HOME, USER and LOGNAME become the user's
  // unless `env` is set.
  std::string as;
  std::string stdin_text;      // empty: /dev/null
  int stdout_to = -1;          // a descriptor, closed by run when the program has it; -1: see below
  bool capture_stdout = true;  // into Result::out, else to on_output
  std::size_t capture_limit = 16u << 20;  // bytes; more is a permanent Error, and the program is ended
  bool capture_tail = false;              // keep the last `capture_limit` bytes instead
  std::chrono::milliseconds timeout{0};   // 0: none
  std::function<bool()> stop;             // asked four times a second; true: end it
  std::function<void(std::string_view)> on_output;  // stderr, and stdout when not captured, as it comes
};

struct Result {
  int exit_code = 0;  // 128 + signal when it was ended by one
  bool timed_out = false;
  bool stopped = false;
  std::string out;       // captured stdout
  std::string err_tail;  // the last 8 KiB of stderr, for messages

  bool ok() const { return exit_code == 0 && !timed_out && !stopped; }
};

// Runs to the end. Throws only when the program cannot be started (the Error names it and says why).
// When it has to be ended: SIGTERM to the group, 5 s, SIGKILL to the group. What the program left in its
// group behind is ended too before this returns.
Result run(const Command& command);

// run, and a permanent Error with the end of stderr unless it exits 0.
std::string output_of(Command command, const std::string& what_failed);

// Where argv[0] would be found in PATH (ours, unless another is given); empty: nowhere.
std::string find_program(const std::string& name, const std::string& path = "");

// A process by pid and start time, so that a reused pid is not mistaken for it.
struct ProcessId {
  int pid = 0;
  std::string start_time;  // field 22 of /proc/PID/stat; empty: no such process
};
ProcessId process_now(int pid);
std::string to_text(const ProcessId& process);                   // "1234@5678": pid and start time
std::optional<ProcessId> process_from(const std::string& text);  // nothing: not of that form
bool alive(const ProcessId& process);                            // a zombie is not alive

// A user of the host. Throws a refused Error for a name that is not there.
struct User {
  unsigned uid, gid;
  std::string name, home;
};
User user_named(const std::string& name);
User current_user();

// Becomes the user for good, groups included, in a single-threaded child. Throws on failure.
void become(const User& user);

}  // namespace relight::sys
