#include "runner/sys/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

extern char** environ;

namespace relight::sys {
namespace {

enum Stage { stage_session = 1, stage_user, stage_folder, stage_descriptors, stage_exec };

std::vector<gid_t> groups_of(const User& user) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) < 0)
    groups.resize(static_cast<std::size_t>(count) + 16), count = static_cast<int>(groups.size());
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

std::map<std::string, std::string> own_environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    if (char* equals = std::strchr(*entry, '=')) result.emplace(std::string(*entry, equals), equals + 1);
  return result;
}

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (int fd : kept) {
    if (fd < static_cast<int>(from)) continue;
    if (fd > static_cast<int>(from)) close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  close_range(from, ~0U, 0);
}

PreparedExec::PreparedExec(const Exec& exec)
    : argv_(exec.argv),
      cwd_(exec.cwd),
      in_(exec.in),
      out_(exec.out),
      err_(exec.err),
      kept_(exec.kept),
      own_session_(exec.own_session),
      cores_back_(exec.cores_back) {
  if (argv_.empty() || argv_[0].empty())
    throw Error(ErrorKind::refused, "cannot start a program", "", "its name is empty");
  auto path = exec.env.find("PATH");
  path_ = find_program(argv_[0], path == exec.env.end() ? "" : path->second);
  if (path_.empty())
    throw Error(ErrorKind::permanent, "cannot start", argv_[0], "not found in PATH",
                "install it, or give its full path");
  for (const auto& [name, value] : exec.env) env_.push_back(name + "=" + value);
  argv_pointers_ = pointers(argv_);
  env_pointers_ = pointers(env_);
  if (exec.as.empty()) return;
  user_ = user_named(exec.as);
  if (user_.uid == geteuid()) return;
  if (geteuid() != 0)
    throw Error(ErrorKind::permanent, "cannot start", argv_[0], "only root can start it as " + exec.as,
                "run relight as root, or as " + exec.as);
  changes_user_ = true;
  groups_ = groups_of(user_);
}

ExecFailure PreparedExec::go() const {
  auto failed = [](Stage stage) { return ExecFailure{stage, errno}; };
  if (own_session_ ? setsid() < 0 : setpgid(0, 0) < 0) return failed(stage_session);
  if (cores_back_) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_CORE, &limit);
    }
  }
  // Lifted above 2 first, so that putting one in its place cannot overwrite another.
  int wanted[3] = {in_, out_, err_};
  for (int& fd : wanted) {
    fd = fd < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fd;
    if (fd >= 0 && fd < 3) fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return failed(stage_descriptors);
  }
  for (int i = 0; i < 3; ++i)
    if (dup2(wanted[i], i) < 0) return failed(stage_descriptors);
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) return failed(stage_descriptors);
  for (int fd : kept_)
    if (fcntl(fd, F_SETFD, 0) < 0) return failed(stage_descriptors);
  // By system calls: glibc's own functions would change the user of every thread of the parent's memory.
  if (changes_user_ && (syscall(SYS_setgroups, groups_.size(), groups_.data()) < 0 ||
                        syscall(SYS_setresgid, user_.gid, user_.gid, user_.gid) < 0 ||
                        syscall(SYS_setresuid, user_.uid, user_.uid, user_.uid) < 0))
    return failed(stage_user);
  if (!cwd_.empty() && chdir(cwd_.c_str()) < 0) return failed(stage_folder);

  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(path_.c_str(), argv_pointers_.data(), env_pointers_.data());
  return failed(stage_exec);
}

std::string PreparedExec::why(const ExecFailure& failure) const {
  const std::string reason = std::strerror(failure.error);
  switch (failure.step) {
    case stage_session:
      return "session: " + reason;
    case stage_user:
      return "user " + user_.name + ": " + reason;
    case stage_folder:
      return "folder " + cwd_ + ": " + reason;
    case stage_descriptors:
      return "descriptors: " + reason;
    default:
      return path_ == argv_[0] ? reason : path_ + ": " + reason;  // `error` names argv[0]
  }
}

Error PreparedExec::error(const ExecFailure& failure) const {
  ErrorKind kind = system_error(failure.error, "", "").kind;
  std::string hint;
  if (failure.step == stage_exec && failure.error == ENOENT)
    hint = exists(path_) ? "the interpreter that its first line names is missing"
                         : "install it, or give its full path";
  else if (failure.step == stage_exec && failure.error == EACCES)
    hint = "make it executable (chmod +x), and its folders reachable";
  return Error(kind, "cannot start", argv_[0], why(failure), hint);
}

namespace {
// Apart, so that nothing of the caller's frame is written in the shared memory of the child.
__attribute__((noinline)) pid_t vfork_and_go(const PreparedExec& exec, int report) {
  pid_t pid = vfork();
  if (pid != 0) return pid;
  ExecFailure failure = exec.go();
  ssize_t ignored = write(report, &failure, sizeof failure);
  static_cast<void>(ignored);
  _exit(127);
}
}  // namespace

int spawn_program(const PreparedExec& exec) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw system_error(errno, "cannot start", exec.program());
  Fd reader(ends[0]), writer(ends[1]);
  if (writer.get() < 3) writer = Fd(fcntl(writer.get(), F_DUPFD_CLOEXEC, 3));  // 0 to 2 become the child's
  // Until the child has its own handlers, a signal would run ours in our memory.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork_and_go(exec, writer.get());
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw system_error(error, "cannot start", exec.program());
  writer = Fd();
  ExecFailure failure;
  ssize_t got;
  do got = read(reader.get(), &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  if (got == 0) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  throw exec.error(failure);
}

}  // namespace relight::sys
