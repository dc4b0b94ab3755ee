#include "runner/sys/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "runner/sys/channel.h"
#include "runner/sys/error.h"
#include "runner/sys/forked.h"
#include "runner/sys/keeper_process.h"
#include "runner/sys/proc.h"

namespace relight::sys {
namespace {

using Clock = std::chrono::steady_clock;

Error gone(const char* what) {
  return Error(ErrorKind::permanent, "cannot reach the " + std::string(what), "", "its process has ended",
               "look into the kernel's log for why it was killed, then resume the run");
}

pid_t fork_with(Fd& socket, Fd& ours, const std::function<void(Fd)>& child) {
  Channel::pair(ours, socket);
  pid_t pid = fork();
  if (pid < 0) throw system_error(errno, "cannot start the keeper", "");
  if (pid == 0) {
    ours = Fd();
    child(std::move(socket));
    _exit(70);
  }
  socket = Fd();
  return pid;
}

// The next message of a channel, waited for.
Message answer_of(Channel& channel, const char* what) {
  for (;;) {
    if (auto message = channel.next()) return std::move(*message);
    pollfd watched{channel.fd(), POLLIN, 0};
    poll(&watched, 1, -1);
    if (!channel.take_in()) {
      if (auto message = channel.next()) return std::move(*message);
      throw gone(what);
    }
  }
}

}  // namespace

struct Keeper::State {
  explicit State(Fd keeper_socket) : keeper(std::move(keeper_socket)) {}
  ~State() {
    keeper.close();
    launcher.reset();
    for (pid_t pid : {keeper_pid, launcher_pid})
      while (pid > 0 && waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
  }

  Channel keeper;
  std::optional<Channel> launcher;
  pid_t keeper_pid = -1, launcher_pid = -1;
  std::uint64_t last_id = 0;
};

Keeper::Keeper() = default;
Keeper::Keeper(Keeper&&) noexcept = default;
Keeper::~Keeper() = default;

Keeper Keeper::start(std::function<int(int socket)> worker, const std::vector<int>& kept_fds,
                     const std::vector<int>& own_fds, Launcher launcher) {
  Fd theirs, keeper_end, launcher_end;
  pid_t keeper_pid =
      fork_with(theirs, keeper_end, [&](Fd socket) { keep(std::move(socket), worker, kept_fds, own_fds); });
  Keeper keeper;
  keeper.state_ = std::make_unique<State>(std::move(keeper_end));
  keeper.state_->keeper_pid = keeper_pid;
  if (launcher == Launcher::none) return keeper;
  keeper.state_->launcher_pid =
      fork_with(theirs, launcher_end, [&](Fd socket) { serve_launches(std::move(socket), kept_fds); });
  keeper.state_->launcher.emplace(std::move(launcher_end));
  return keeper;
}

int Keeper::fd() const {
  return state_->keeper.fd();
}

std::uint64_t Keeper::spawn(const Spawn& spawn) {
  std::uint64_t id = ++state_->last_id;
  MessageWriter writer;
  writer.number(static_cast<int>(KeeperRequest::spawn)).number(static_cast<std::int64_t>(id));
  writer.texts(spawn.argv).table(spawn.env).text(spawn.cwd).text(spawn.as).text(spawn.tag);
  std::vector<int> fds;
  for (int fd : {spawn.socket, spawn.stdin_fd, spawn.output_fd, spawn.stdout_fd}) {
    writer.number(fd >= 0 ? 1 : 0);
    if (fd >= 0) fds.push_back(fd);
  }
  state_->keeper.send(writer.bytes(), fds);
  return id;
}

void Keeper::end(std::uint64_t id, std::chrono::milliseconds grace) {
  MessageWriter writer;
  writer.number(static_cast<int>(KeeperRequest::end)).number(static_cast<std::int64_t>(id));
  state_->keeper.send(writer.number(grace.count()).bytes());
}

std::vector<KeeperEvent> Keeper::events() {
  bool there = state_->keeper.take_in();
  std::vector<KeeperEvent> events;
  while (auto message = state_->keeper.next()) {
    MessageReader reader(std::move(message->bytes));
    KeeperEvent event;
    event.kind = static_cast<KeeperEvent::Kind>(reader.number());
    event.id = static_cast<std::uint64_t>(reader.number());
    event.process.pid = static_cast<int>(reader.number());
    event.process.start_time = reader.text();
    event.why = reader.text();
    event.exit_code = static_cast<int>(reader.number());
    event.signal = static_cast<int>(reader.number());
    event.left_behind = static_cast<int>(reader.number());
    events.push_back(std::move(event));
  }
  if (!there && events.empty()) throw gone("keeper");
  return events;
}

ProcessId Keeper::launch(const Launch& launch) {
  MessageWriter writer;
  writer.texts(launch.argv).table(launch.env).text(launch.as).text(launch.cwd).text(launch.log);
  if (!state_->launcher)
    throw Error(ErrorKind::permanent, "cannot start a service", launch.argv.at(0), "there is no launcher");
  state_->launcher->send(writer.text(launch.pid_file).bytes());
  MessageReader reader(answer_of(*state_->launcher, "launcher").bytes);
  if (reader.number() != 0) {
    ProcessId process;
    process.pid = static_cast<int>(reader.number());
    process.start_time = reader.text();
    return process;
  }
  auto kind = static_cast<ErrorKind>(reader.number());
  std::string what = reader.text(), on = reader.text(), why = reader.text(), hint = reader.text();
  throw Error(kind, what, on, why, hint);
}

void serve_launches(Fd socket, const std::vector<int>& kept_fds) {
  std::vector<int> fds = kept_fds;  // by which one that is still at work is found and ended, as the keeper is
  fds.push_back(socket.get());
  detach("relight-launch", fds);
  Channel channel(std::move(socket));
  try {
    for (;;) {
      MessageReader reader(answer_of(channel, "caller").bytes);
      Launch wanted;
      wanted.argv = reader.texts();
      wanted.env = reader.table();
      wanted.as = reader.text();
      wanted.cwd = reader.text();
      wanted.log = reader.text();
      wanted.pid_file = reader.text();
      MessageWriter answer;
      try {
        ProcessId process = launch(wanted);
        answer.number(1).number(process.pid).text(process.start_time);
      } catch (const Error& error) {
        answer.number(0).number(static_cast<int>(error.kind));
        answer.text(error.failed).text(error.on).text(error.why).text(error.hint);
      }
      channel.send(answer.bytes());
    }
  } catch (const std::exception&) {
    // The caller is gone.
  }
  _exit(0);
}

namespace {

// Nobody holds the lock: nobody who inherited the file is alive.
bool is_free(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) return false;
  flock(fd, LOCK_UN);
  return true;
}

bool has_open(int pid, const struct stat& file) {
  std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  bool found = false;
  try {
    walk(folder, [&](const Entry& entry) {
      struct stat info;
      found = found || (stat((folder + "/" + entry.path).c_str(), &info) == 0 && info.st_dev == file.st_dev &&
                        info.st_ino == file.st_ino);
    });
  } catch (const Error&) {
    // It ended meanwhile, or is another user's, which root alone may look into.
  }
  return found;
}

}  // namespace

std::vector<ProcessId> holders_of(const std::string& liveness_file) {
  Fd fd(open(liveness_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return {};
  if (!fd) throw system_error(errno, "cannot see who holds", liveness_file);
  struct stat file;
  if (fstat(fd.get(), &file) < 0) throw system_error(errno, "cannot see who holds", liveness_file);
  // A holder may be on its way out, or a child on its way in: a few looks before it is called unknown.
  for (int looks = 0; looks < 20; ++looks) {
    if (is_free(fd.get())) return {};
    std::vector<ProcessId> holders;
    for (const ProcStat& stat : proc_all())
      if (stat.process.pid != getpid() && !stat.ended() && has_open(stat.process.pid, file))
        holders.push_back(stat.process);
    if (!holders.empty()) return holders;
    poll(nullptr, 0, 10);
  }
  throw Error(ErrorKind::needs_person, "cannot see who holds", liveness_file,
              "it is locked, but by no process that may be seen",
              "look again as root: fuser -v " + liveness_file);
}

namespace {

std::vector<ProcessId> end_all(const std::function<std::vector<ProcessId>()>& find,
                               std::chrono::milliseconds within) {
  const auto give_up = Clock::now() + within;
  for (;;) {
    std::vector<ProcessId> found = find();
    if (found.empty()) return found;
    for (const ProcessId& process : found) signal_process(process, SIGKILL);
    if (Clock::now() >= give_up) {
      std::erase_if(found, [](const ProcessId& process) { return !alive(process); });
      return found;
    }
    poll(nullptr, 0, 5);
  }
}

}  // namespace

std::vector<ProcessId> end_holders(const std::string& liveness_file, std::chrono::milliseconds within) {
  return end_all([&] { return holders_of(liveness_file); }, within);
}

std::vector<ProcessId> end_tagged(const std::string& tag_start, std::chrono::milliseconds within) {
  const auto tagged = [&] {
    std::vector<ProcessId> found;
    for (const ProcStat& stat : proc_all())
      if (stat.process.pid != getpid() && !stat.ended())
        if (const auto tag = proc_env(stat.process.pid, "RELIGHT_STEP"); tag && tag->starts_with(tag_start))
          found.push_back(stat.process);
    return found;
  };
  return end_all(tagged, within);
}

}  // namespace relight::sys
