#include "runner/sys/launch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/spawn.h"

namespace relight::sys {
namespace {

// What the launched process tells: its pid at once, and a failure if there is one.
struct Report {
  enum { started, no_pid_file, not_executed } kind;
  int pid;
  ExecFailure failure;
};

Fd open_log(const Launch& launch, const PreparedExec& exec) {
  if (launch.log.empty()) return Fd();
  // No link is followed: in a folder of the service's user it could lead root anywhere.
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  const std::string hint = "its folder must be there, and it must be no symbolic link";
  Fd made(open(launch.log.c_str(), flags | O_CREAT | O_EXCL, 0640));
  if (made) {
    if (exec.changes_user() && fchown(made.get(), exec.user().uid, exec.user().gid) < 0)
      throw system_error(errno, "cannot give the log to " + launch.as, launch.log);
    fchmod(made.get(), 0640);
    return made;
  }
  if (errno != EEXIST) throw system_error(errno, "cannot make the log", launch.log, hint);
  Fd there(open(launch.log.c_str(), flags));
  if (!there) throw system_error(errno, "cannot open the log", launch.log, hint);
  return there;
}

void tell(int fd, const Report& report) {
  ssize_t ignored = write(fd, &report, sizeof report);
  static_cast<void>(ignored);
}

// In the launched process: whole under a name beside, then renamed. 0, or errno.
int write_pid_file(const char* path, const char* beside, const PreparedExec& exec) {
  char text[16];
  int length = std::snprintf(text, sizeof text, "%d\n", static_cast<int>(getpid()));
  unlink(beside);
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return errno;
  bool good = fchmod(fd, 0644) == 0 && write(fd, text, static_cast<std::size_t>(length)) == length &&
              (!exec.changes_user() || fchown(fd, exec.user().uid, exec.user().gid) == 0) && fsync(fd) == 0 &&
              rename(beside, path) == 0;
  int error = errno;
  close(fd);
  if (!good) unlink(beside);
  return good ? 0 : error;
}

bool next(int fd, Report& report) {
  ssize_t got;
  do got = read(fd, &report, sizeof report);
  while (got < 0 && errno == EINTR);
  return got == sizeof report;
}

}  // namespace

ProcessId launch(const Launch& launch) {
  Exec wanted;
  wanted.argv = launch.argv;
  wanted.env = launch.env;
  wanted.cwd = launch.cwd.empty() ? "/" : launch.cwd;
  wanted.as = launch.as;
  wanted.own_session = true;
  wanted.cores_back = true;
  Fd log;
  {
    PreparedExec user_only(wanted);
    log = open_log(launch, user_only);
  }
  wanted.out = wanted.err = log.get();
  PreparedExec exec(wanted);
  const std::string beside = launch.pid_file.empty()
                                 ? ""
                                 : parent_of(launch.pid_file) + "/." + name_of_path(launch.pid_file) + ".tmp";

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw system_error(errno, "cannot start", exec.program());
  Fd reader(ends[0]), writer(ends[1]);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t between = fork();
  int error = errno;
  if (between == 0) {
    // The process in between ends at once, so that the service is a child of init and of nobody else.
    pid_t child = fork();
    if (child != 0) _exit(child < 0 ? 1 : 0);
    umask(022);
    tell(writer.get(), {Report::started, getpid(), {}});
    if (!launch.pid_file.empty())
      if (int failed = write_pid_file(launch.pid_file.c_str(), beside.c_str(), exec); failed != 0) {
        tell(writer.get(), {Report::no_pid_file, getpid(), {0, failed}});
        _exit(127);
      }
    ExecFailure failure = exec.go();
    if (!launch.pid_file.empty()) unlink(launch.pid_file.c_str());
    tell(writer.get(), {Report::not_executed, getpid(), failure});
    _exit(127);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (between < 0) throw system_error(error, "cannot start", exec.program());
  writer = Fd();
  while (waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  Report report, failed;
  if (!next(reader.get(), report))
    throw Error(ErrorKind::transient, "cannot start", exec.program(), "no process could be made");
  if (!next(reader.get(), failed)) {
    failpoint("sys:launched");
    return process_now(report.pid);
  }
  if (failed.kind == Report::no_pid_file)
    throw system_error(failed.failure.error, "cannot write the pid file", launch.pid_file,
                       "its folder must be there");
  throw exec.error(failed.failure);
}

}  // namespace relight::sys
