// The way from a request to an exec, shared by all that start programs: everything is prepared before
// the fork, so that the child makes system calls only.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "runner/sys/error.h"
#include "runner/sys/process.h"

namespace relight::sys {

struct Exec {
  std::vector<std::string> argv;           // argv[0] absolute, or found in PATH of env, else in ours
  std::map<std::string, std::string> env;  // the whole environment
  std::string cwd;                         // empty: unchanged
  std::string as;                          // user; empty: unchanged
  int in = -1, out = -1, err = -1;         // -1: /dev/null
  std::vector<int> kept;                   // stay open besides the three; everything else is closed
  bool own_session = false;                // a session of its own, else a process group of its own
  bool cores_back = false;                 // limit on core files: soft = hard
};

// Where a child stopped on its way.
struct ExecFailure {
  int step = 0;  // 0: it did not stop
  int error = 0;
};

class PreparedExec {
 public:
  // Throws Error where the program or the user is not there, or the user may not be changed.
  explicit PreparedExec(const Exec& exec);
  PreparedExec(const PreparedExec&) = delete;

  // Called in a child, of fork or vfork, with every signal blocked. Returns only when it failed.
  ExecFailure go() const;

  std::string why(const ExecFailure& failure) const;  // "exec /bin/x: No such file or directory"
  Error error(const ExecFailure& failure) const;
  const std::string& program() const { return path_; }
  bool changes_user() const { return changes_user_; }
  const User& user() const { return user_; }

 private:
  std::vector<std::string> argv_, env_;
  std::vector<char*> argv_pointers_, env_pointers_;
  std::string path_, cwd_;
  bool changes_user_ = false;
  User user_;
  std::vector<gid_t> groups_;
  int in_, out_, err_;
  std::vector<int> kept_;
  bool own_session_, cores_back_;
};

// vfork and go: returns the child's pid when the program runs. Throws the Error of what failed.
// Safe in a process with threads.
int spawn_program(const PreparedExec& exec);

std::map<std::string, std::string> own_environment();

// Closes every descriptor above 2 that is not one of `kept`.
void close_all_but(std::vector<int> kept);

}  // namespace relight::sys
