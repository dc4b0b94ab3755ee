#include "runner/sys/forked.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "runner/sys/error.h"

namespace relight::sys {

void detach(const char* name, const std::vector<int>& fds) {
  setsid();
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  prctl(PR_SET_NAME, name);
  prctl(PR_SET_DUMPABLE, 0);
  // With 1 not even a core handler behind a pipe is given the memory.
  rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = std::min<rlim_t>(1, limit.rlim_max);
    setrlimit(RLIMIT_CORE, &limit);
  }
  if (chdir("/") < 0) _exit(70);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd)
    if (null < 0 || dup2(null, fd) < 0) _exit(70);
  close_all_but(fds);
}

int fork_worker(const Exec& exec, int socket, const std::string& tag, const std::function<int(int)>& worker) {
  std::optional<User> user;
  if (!exec.as.empty()) user = user_named(exec.as);
  const pid_t keeper = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw system_error(errno, "cannot start a worker", "");
  if (pid > 0) return pid;
  setsid();
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (exec.in >= 0) dup2(exec.in, 0);
  if (exec.out >= 0) dup2(exec.out, 1);
  if (exec.err >= 0) dup2(exec.err, 2);
  std::vector<int> fds = exec.kept;
  fds.push_back(socket);
  close_all_but(fds);
  for (const auto& [name, value] : exec.env) setenv(name.c_str(), value.c_str(), 1);
  if (!tag.empty()) setenv("RELIGHT_STEP", tag.c_str(), 1);
  int code = 70;
  try {
    if (!exec.cwd.empty() && chdir(exec.cwd.c_str()) < 0)
      throw system_error(errno, "cannot go to the folder", exec.cwd);
    if (user) {
      become(*user);
      setenv("HOME", user->home.c_str(), 1);
      setenv("USER", user->name.c_str(), 1);
      setenv("LOGNAME", user->name.c_str(), 1);
    }
    prctl(PR_SET_NAME, "relight-worker");
    prctl(PR_SET_DUMPABLE, 0);  // after the change of user, which sets it anew
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // the same
    if (getppid() == keeper) code = worker(socket);
  } catch (const std::exception& error) {
    dprintf(2, "%s\n", error.what());
  }
  _exit(code);
}

}  // namespace relight::sys
