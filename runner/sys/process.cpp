#include "runner/sys/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/proc.h"
#include "runner/sys/spawn.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds grace{5};
constexpr std::size_t err_tail_limit = 8192;

// What a program reads: all of it is there before it starts, so that nobody has to feed it.
Fd text_as_file(const std::string& text) {
  Fd fd(memfd_create("stdin", MFD_CLOEXEC));
  if (!fd) throw system_error(errno, "cannot start a program", "its input");
  for (std::size_t done = 0; done < text.size();) {
    ssize_t wrote = write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) throw system_error(errno, "cannot start a program", "its input");
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
  }
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

struct Pipe {
  Fd reader, writer;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) throw system_error(errno, "cannot start a program", "its output");
    reader = Fd(ends[0]);
    writer = Fd(ends[1]);
    fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  }
};

// One started program until nothing of its group is left.
class Running {
 public:
  Running(const Command& command, const PreparedExec& exec, Fd out, Fd err)
      : command_(command), out_(std::move(out)), err_(std::move(err)), pid_(spawn_program(exec)) {
    handle_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  }
  Running(const Running&) = delete;
  ~Running() {
    if (pid_ > 0) end_group(false);
  }

  Result to_the_end() {
    const auto begun = Clock::now();
    std::optional<Clock::time_point> kill_at;
    for (bool ended = false; !ended;) {
      auto now = Clock::now();
      if (!kill_at) {
        result_.timed_out = command_.timeout.count() > 0 && now >= begun + command_.timeout;
        result_.stopped = !result_.timed_out && command_.stop && command_.stop();
        if (result_.timed_out || result_.stopped) {
          kill(-pid_, SIGTERM);
          kill_at = now + grace;
        }
      } else if (now >= *kill_at) {
        kill(-pid_, SIGKILL);
      }
      auto wait = std::chrono::milliseconds(250);
      auto until = [&](Clock::time_point then) {
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(then - now);
        wait = std::clamp(left + std::chrono::milliseconds(1), std::chrono::milliseconds(1), wait);
      };
      if (!kill_at && command_.timeout.count() > 0) until(begun + command_.timeout);
      if (kill_at && now < *kill_at) until(*kill_at);
      ended = wait_for_something(wait);
      read_out();
      read_err();
    }
    // A process that it left behind in its group is ended; one that left the group may hold the pipes, and is
    // not waited for.
    end_group(true);
    read_out();
    read_err();
    return std::move(result_);
  }

 private:
  bool wait_for_something(std::chrono::milliseconds wait) {
    pollfd watched[3] = {{handle_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
    if (poll(watched, 3, static_cast<int>(wait.count())) <= 0) return false;
    return (watched[0].revents & POLLIN) != 0;
  }

  void read_out() {
    drain(out_, [this](std::string_view bytes) {
      if (!command_.capture_stdout) {
        if (command_.on_output) command_.on_output(bytes);
        return;
      }
      if (command_.capture_tail) {
        result_.out.append(bytes);
        if (result_.out.size() > 2 * command_.capture_limit)
          result_.out.erase(0, result_.out.size() - command_.capture_limit);
        return;
      }
      if (result_.out.size() + bytes.size() > command_.capture_limit)
        throw Error(ErrorKind::permanent, "cannot run", command_.argv[0],
                    "it wrote more than " + show_size(command_.capture_limit));
      result_.out.append(bytes);
    });
  }

  void read_err() {
    drain(err_, [this](std::string_view bytes) {
      result_.err_tail.append(bytes);
      if (result_.err_tail.size() > 2 * err_tail_limit)
        result_.err_tail.erase(0, result_.err_tail.size() - err_tail_limit);
      if (command_.on_output) command_.on_output(bytes);
    });
  }

  template <class Take>
  void drain(Fd& fd, Take take) {
    char buffer[65536];
    // Bounded, so that one who never stops writing does not keep us from the time.
    for (int rounds = 0; fd && rounds < 16; ++rounds) {
      ssize_t got = read(fd.get(), buffer, sizeof buffer);
      if (got > 0) {
        take(std::string_view(buffer, static_cast<std::size_t>(got)));
      } else if (got == 0) {
        fd = Fd();
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  void end_group(bool leader_ended) {
    if (!leader_ended) kill(-pid_, SIGKILL);
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    kill(-pid_, SIGKILL);  // the leader is a zombie still, so that the group's number is no other's
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    const auto give_up = Clock::now() + grace;
    while (kill(-pid_, 0) == 0 && group_lives() && Clock::now() < give_up) {
      while (waitpid(-pid_, nullptr, WNOHANG) >
             0) {  // orphans of it that came to us, where we are a subreaper
      }
      poll(nullptr, 0, 2);
    }
    while (waitpid(-pid_, nullptr, WNOHANG) > 0) {
    }
    result_.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (result_.err_tail.size() > err_tail_limit)
      result_.err_tail.erase(0, result_.err_tail.size() - err_tail_limit);
    pid_ = -1;
  }

  bool group_lives() const {
    for (const ProcStat& stat : proc_all())
      if (stat.group == pid_ && !stat.ended()) return true;
    return false;
  }

  const Command& command_;
  Fd out_, err_, handle_;
  int pid_;
  Result result_;
};

}  // namespace

Result run(const Command& command) {
  Fd given(command.stdout_to);
  Exec exec;
  exec.argv = command.argv;
  exec.env = command.env ? *command.env : own_environment();
  exec.cwd = command.cwd;
  exec.as = command.as;
  if (!command.as.empty()) {
    User user = user_named(command.as);
    if (user.uid != geteuid() && exec.cwd.empty()) exec.cwd = "/";
    if (!command.env) exec.env["HOME"] = user.home, exec.env["USER"] = exec.env["LOGNAME"] = user.name;
  }
  for (const auto& [name, value] : command.extra_env) exec.env[name] = value;
  Fd in;
  if (!command.stdin_text.empty()) in = text_as_file(command.stdin_text);
  std::optional<Pipe> out;
  if (!given) out.emplace();
  Pipe err;
  exec.in = in.get();
  exec.out = out ? out->writer.get() : given.get();
  exec.err = err.writer.get();
  PreparedExec prepared(exec);
  Running running(command, prepared, out ? std::move(out->reader) : Fd(), std::move(err.reader));
  out.reset();
  given = Fd();
  err.writer = Fd();
  failpoint("sys:process_started");
  Result result = running.to_the_end();
  failpoint("sys:process_ended");
  return result;
}

std::string output_of(Command command, const std::string& what_failed) {
  command.capture_stdout = true;
  Result result = run(command);
  if (result.ok()) return std::move(result.out);
  std::string why = "exit code " + std::to_string(result.exit_code);
  if (result.timed_out) why = "no end after " + show_duration(command.timeout);
  if (result.stopped) why = "told to stop";
  if (std::string said = trim(result.err_tail); !said.empty()) why += ": " + said;
  throw Error(result.stopped ? ErrorKind::transient : ErrorKind::permanent, what_failed,
              join(command.argv, " "), why);
}

std::string find_program(const std::string& name, const std::string& given_path) {
  auto is_program = [](const std::string& path) {
    struct stat info;
    return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0;
  };
  if (name.find('/') != std::string::npos) return name;
  const char* ours = std::getenv("PATH");
  std::string path = !given_path.empty() ? given_path
                     : ours != nullptr   ? ours
                                         : "/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& folder : split(path, ':'))
    if (!folder.empty() && !name.empty() && is_program(folder + "/" + name)) return folder + "/" + name;
  return "";
}

ProcessId process_now(int pid) {
  auto stat = proc_stat(pid);
  return stat ? stat->process : ProcessId{pid, ""};
}

std::string to_text(const ProcessId& process) {
  return std::to_string(process.pid) + "@" + process.start_time;
}

std::optional<ProcessId> process_from(const std::string& text) {
  const auto digits = [](const std::string& part) {
    return !part.empty() && part.size() < 20 && part.find_first_not_of("0123456789") == std::string::npos;
  };
  const std::size_t at = text.find('@');
  if (at == std::string::npos || at > 9 || !digits(text.substr(0, at)) || !digits(text.substr(at + 1)))
    return std::nullopt;
  return ProcessId{std::stoi(text.substr(0, at)), text.substr(at + 1)};
}

bool alive(const ProcessId& process) {
  auto stat = proc_stat(process.pid);
  return stat && stat->process.start_time == process.start_time && !stat->ended();
}

namespace {
User user_of(const passwd& entry) {
  return {.uid = entry.pw_uid, .gid = entry.pw_gid, .name = entry.pw_name, .home = entry.pw_dir};
}
}  // namespace

User user_named(const std::string& name) {
  std::vector<char> buffer(65536);
  passwd entry, *found = nullptr;
  int error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return user_of(*found);
  if (error != 0 && error != ENOENT && error != ESRCH)
    throw system_error(error, "cannot look up the user", name);
  throw Error(ErrorKind::refused, "no such user", name, "", "see the names with: getent passwd");
}

User current_user() {
  std::vector<char> buffer(65536);
  passwd entry, *found = nullptr;
  getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return user_of(*found);
  return {.uid = geteuid(), .gid = getegid(), .name = std::to_string(geteuid()), .home = "/"};
}

void become(const User& user) {
  if (user.uid == geteuid() && user.uid == getuid() && user.uid != 0) return;
  if (initgroups(user.name.c_str(), user.gid) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
      setresuid(user.uid, user.uid, user.uid) < 0)
    throw system_error(errno, "cannot become the user", user.name, "run relight as root, or as " + user.name);
}

}  // namespace relight::sys
