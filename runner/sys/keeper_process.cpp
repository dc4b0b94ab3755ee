#include "runner/sys/keeper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "runner/sys/channel.h"
#include "runner/sys/error.h"
#include "runner/sys/forked.h"
#include "runner/sys/keeper.h"
#include "runner/sys/proc.h"
#include "runner/sys/spawn.h"

namespace relight::sys {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds again_after{50};  // between two rounds of SIGKILL at what does not go

struct Child {
  ProcessId leader;
  std::string tag;
  bool ended = false;  // the leader; what it left behind may be there still
  int status = 0;
  std::optional<Clock::time_point> kill_at;  // of end(): from then on SIGKILL
  std::set<int> sessions;                    // sessions and groups that are its alone
  std::set<int> left;                        // what was there after the leader
  std::string stuck;                         // what could not be ended, and why
};

class KeeperLoop {
 public:
  KeeperLoop(Fd socket, const std::function<int(int)>& worker, const std::vector<int>& kept)
      : channel_(std::move(socket)), worker_(worker), kept_(kept), self_(getpid()) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    children_file_ = Fd(open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC));
    if (!signals_) throw system_error(errno, "cannot watch children", "");
  }

  void until_left_alone() {
    for (;;) {
      pollfd watched[2] = {{channel_.fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
      if (channel_.waits_for_room()) watched[0].events |= POLLOUT;
      poll(watched, 2, wait_time());
      if (watched[1].revents != 0) reap();
      if ((watched[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        bool there = channel_.take_in();
        while (auto message = channel_.next()) obey(std::move(*message));
        if (!there) return;
      }
      enforce();
      settle();
      channel_.flush();
    }
  }

  void end_everything() {
    for (;;) {
      while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
      }
      if (waitpid(-1, nullptr, WNOHANG | __WALL) < 0 && errno == ECHILD) return;
      bool ours_to_end = false;
      auto tree = descendants_of(proc_all(), {self_});
      for (const ProcStat& stat : tree)
        if (stat.process.pid != self_ && stat.group != getpgrp()) kill(-stat.group, SIGKILL);
      for (const ProcStat& stat : tree)
        if (stat.process.pid != self_ && signal_process(stat.process, SIGKILL) != EPERM) ours_to_end = true;
      if (!ours_to_end) return;  // what is left belongs to another user, and we are not root
      wait_for_signal(std::chrono::milliseconds(10));
    }
  }

 private:
  void wait_for_signal(std::chrono::milliseconds time) {
    pollfd watched{signals_.get(), POLLIN, 0};
    poll(&watched, 1, static_cast<int>(time.count()));
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) > 0) {
    }
  }

  int wait_time() const {
    auto wait = std::chrono::milliseconds(-1);
    for (const auto& [id, child] : children_) {
      if (!child.ended && !child.kill_at) continue;
      auto left = again_after;
      if (child.kill_at && *child.kill_at > Clock::now())
        left = std::chrono::ceil<std::chrono::milliseconds>(*child.kill_at - Clock::now());
      if (wait.count() < 0 || left < wait) wait = left;
    }
    return static_cast<int>(wait.count());
  }

  void tell(KeeperEvent::Kind kind, std::uint64_t id, const ProcessId& process, const std::string& why,
            int exit_code, int signal, std::size_t left) {
    MessageWriter writer;
    writer.number(static_cast<int>(kind)).number(static_cast<std::int64_t>(id)).number(process.pid);
    writer.text(process.start_time).text(why).number(exit_code).number(signal);
    channel_.queue(writer.number(static_cast<std::int64_t>(left)).bytes());
  }

  void obey(Message message) {
    MessageReader reader(std::move(message.bytes));
    auto request = static_cast<KeeperRequest>(reader.number());
    auto id = static_cast<std::uint64_t>(reader.number());
    if (request == KeeperRequest::spawn) return spawn(id, reader, message.fds);
    auto child = children_.find(id);
    if (child == children_.end() || child->second.ended) return;
    adopt_orphans();
    child->second.kill_at = Clock::now() + std::chrono::milliseconds(reader.number());
    if (*child->second.kill_at > Clock::now()) signal_tree(id, child->second, SIGTERM);
  }

  void spawn(std::uint64_t id, MessageReader& reader, std::vector<Fd>& fds) {
    Exec exec;
    exec.argv = reader.texts();
    exec.env = reader.table();
    exec.cwd = reader.text();
    exec.as = reader.text();
    std::string tag = reader.text();
    // The order of the descriptors is that of keeper.cpp; those not given are not sent.
    int given[4];
    std::size_t next = 0;
    for (int& fd : given) fd = reader.number() != 0 ? fds.at(next++).get() : -1;
    exec.in = given[1];
    exec.err = given[2];
    exec.out = given[3] >= 0 ? given[3] : given[2];
    exec.kept = kept_;
    exec.own_session = true;
    try {
      int pid;
      if (exec.argv.empty()) {
        pid = fork_worker(exec, given[0], tag, worker_);
      } else {
        if (!tag.empty()) exec.env["RELIGHT_STEP"] = tag;
        pid = spawn_program(PreparedExec(exec));
      }
      for (auto& [other, its] : children_) its.sessions.erase(pid);  // a number is used again
      Child& child = children_[id];
      child.leader = process_now(pid);
      child.tag = tag;
      child.sessions = {pid};
      leaders_[pid] = id;
      childless_ = false;
      tell(KeeperEvent::Kind::started, id, child.leader, "", 0, 0, 0);
    } catch (const Error& error) {
      // Who asked says what it could not start; this is which program, and why.
      const std::string why = error.failed == "cannot start" ? error.on + ": " + error.why : error.what();
      tell(KeeperEvent::Kind::not_started, id, {}, why, 0, 0, 0);
    }
  }

  void reap() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) > 0) {
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
      orphans_.erase(pid);
      auto leader = leaders_.find(pid);
      if (leader == leaders_.end()) continue;
      Child& child = children_.at(leader->second);
      child.ended = true;
      child.status = status;
      leaders_.erase(leader);
    }
    childless_ = pid < 0;
  }

  // Every ended child: told of when nothing of it is left, else what is left is ended.
  void settle() {
    if (std::none_of(children_.begin(), children_.end(), [](const auto& one) { return one.second.ended; }))
      return;
    adopt_orphans();
    for (auto it = children_.begin(); it != children_.end();) {
      auto& [id, child] = *it;
      if (!child.ended) {
        ++it;
        continue;
      }
      bool alone = children_.size() == 1;
      std::size_t here = 0;
      for (auto& [pid, owner] : orphans_) {
        if (owner == 0 && alone) owner = id;
        if (owner != id) continue;
        child.left.insert(pid);
        ++here;
      }
      bool given_time = child.kill_at && Clock::now() < *child.kill_at;
      // Told only when the last of them was reaped: one that ends hands its children to us first.
      if (here > 0 && (given_time || signal_tree(id, child, SIGKILL) > 0 || child.stuck.empty())) {
        ++it;
        continue;
      }
      bool killed = WIFSIGNALED(child.status);
      tell(KeeperEvent::Kind::ended, id, child.leader, child.stuck,
           killed ? 128 + WTERMSIG(child.status) : WEXITSTATUS(child.status),
           killed ? WTERMSIG(child.status) : 0, child.left.size());
      std::erase_if(remembered_, [gone = id](const auto& one) { return one.second.second == gone; });
      it = children_.erase(it);
    }
  }

  void enforce() {
    for (auto& [id, child] : children_)
      if (!child.ended && child.kill_at && *child.kill_at <= Clock::now()) signal_tree(id, child, SIGKILL);
  }

  // Finds out whose the children are that we did not start. The common answer is that there are none.
  void adopt_orphans() {
    if (childless_) return;
    std::vector<ProcStat> unknown = unknown_children();
    if (unknown.empty()) return;
    remember_trees();
    for (const ProcStat& stat : unknown) {
      std::uint64_t owner = owner_of(stat);
      orphans_[stat.process.pid] = owner;
      if (owner != 0) claim(children_.at(owner), stat);
    }
  }

  // One that has ended is reaped and the list read again: its own children came to us after the list was
  // read.
  std::vector<ProcStat> unknown_children() {
    for (;;) {
      std::vector<ProcStat> unknown;
      bool reaped = false;
      for (int pid : own_children()) {
        if (leaders_.count(pid) != 0 || orphans_.count(pid) != 0) continue;
        auto stat = proc_stat(pid);
        if (stat && stat->ended() && waitpid(pid, nullptr, WNOHANG | __WALL) == pid)
          reaped = true;
        else if (stat)
          unknown.push_back(*stat);
      }
      if (!reaped) return unknown;
    }
  }

  std::uint64_t owner_of(const ProcStat& stat) const {
    for (const auto& [id, child] : children_)
      if (child.sessions.count(stat.session) != 0 || child.sessions.count(stat.group) != 0) return id;
    if (auto known = remembered_.find(stat.process.pid);
        known != remembered_.end() && known->second.first == stat.process.start_time)
      return known->second.second;
    if (auto tag = proc_env(stat.process.pid, "RELIGHT_STEP"))
      for (const auto& [id, child] : children_)
        if (child.tag == *tag) return id;
    return children_.size() == 1 ? children_.begin()->first : 0;
  }

  void claim(Child& child, const ProcStat& stat) {
    // Its session is its own, for each leader has one; so are the groups within it.
    child.sessions.insert(stat.session);
    child.sessions.insert(stat.group);
  }

  std::vector<ProcStat> tree_of(const std::vector<ProcStat>& all, std::uint64_t id,
                                const Child& child) const {
    std::vector<int> roots;
    if (!child.ended) roots.push_back(child.leader.pid);
    for (const auto& [pid, owner] : orphans_)
      if (owner == id) roots.push_back(pid);
    return descendants_of(all, roots);
  }

  // Who descends from whom is lost when a parent ends: kept for those who leave session and group later.
  void remember_trees() {
    auto all = proc_all();
    for (auto& [id, child] : children_)
      for (const ProcStat& stat : tree_of(all, id, child)) {
        remembered_[stat.process.pid] = {stat.process.start_time, id};
        claim(child, stat);
      }
  }

  // Returns how many are left that a signal reaches.
  std::size_t signal_tree(std::uint64_t id, Child& child, int signal) {
    auto tree = tree_of(proc_all(), id, child);
    std::erase_if(tree, [](const ProcStat& stat) { return stat.ended(); });
    // Groups first: nobody forks away from a signal to the whole of one.
    std::set<int> groups;
    for (const ProcStat& stat : tree) groups.insert(stat.group);
    if (signal == SIGKILL)
      for (int group : groups) kill(-group, SIGKILL);
    std::size_t reached = 0;
    for (const ProcStat& stat : tree) {
      remembered_[stat.process.pid] = {stat.process.start_time, id};
      claim(child, stat);
      if (child.ended) child.left.insert(stat.process.pid);
      int error = signal_process(stat.process, signal);
      if (error == EPERM)
        child.stuck = "cannot end process " + std::to_string(stat.process.pid) + ": " + std::strerror(error);
      else
        ++reached;
    }
    return reached;
  }

  std::vector<int> own_children() {
    std::vector<int> pids;
    if (!children_file_) {  // a kernel without the file
      for (const ProcStat& stat : proc_all())
        if (stat.parent == self_) pids.push_back(stat.process.pid);
      return pids;
    }
    std::string text;
    char buffer[8192];
    lseek(children_file_.get(), 0, SEEK_SET);
    for (ssize_t got; (got = read(children_file_.get(), buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    for (char* at = text.data(); *at != 0;) {
      char* end;
      long pid = std::strtol(at, &end, 10);
      if (end == at) break;
      pids.push_back(static_cast<int>(pid));
      at = end;
    }
    return pids;
  }

  Channel channel_;
  const std::function<int(int)>& worker_;
  std::vector<int> kept_;
  pid_t self_;
  Fd signals_, children_file_;
  bool childless_ = true;  // as waitpid said, after the last of them was reaped
  std::map<std::uint64_t, Child> children_;
  std::unordered_map<int, std::uint64_t> leaders_;  // pid -> id, until reaped
  std::unordered_map<int, std::uint64_t> orphans_;  // children that came to us -> id; 0: nobody knows whose
  std::unordered_map<int, std::pair<std::string, std::uint64_t>> remembered_;  // pid -> start time, id
};

}  // namespace

void keep(Fd socket, const std::function<int(int)>& worker, const std::vector<int>& kept_fds,
          const std::vector<int>& own_fds) {
  std::vector<int> fds = kept_fds;
  fds.insert(fds.end(), own_fds.begin(), own_fds.end());
  fds.push_back(socket.get());
  detach("relight-keeper", fds);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int tries = 0; tries < 100; ++tries) {
    try {
      static KeeperLoop loop(std::move(socket), worker, kept_fds);
      if (tries == 0) loop.until_left_alone();
      loop.end_everything();
      _exit(0);
    } catch (const std::exception&) {
      // Out of memory or of descriptors, or the engine went while we told it something: only the ending is
      // left to do.
      poll(nullptr, 0, 10);
    }
  }
  _exit(70);
}

}  // namespace relight::sys
