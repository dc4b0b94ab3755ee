#include "runner/sys/keeper.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>

#include "runner/sys/error.h"
#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

using namespace relight;
using namespace relight::sys;
using namespace std::chrono_literals;
using Kind = KeeperEvent::Kind;

namespace {

int no_worker(int) {
  return 99;
}

Spawn shell(const std::string& script, const std::string& tag = "") {
  Spawn spawn;
  spawn.argv = {"/bin/sh", "-c", script};
  spawn.env = {{"PATH", "/bin:/usr/bin"}};
  spawn.tag = tag;
  return spawn;
}

// Waits for the event of a kind of one child; others are kept for later.
struct Events {
  Keeper& keeper;
  std::vector<KeeperEvent> seen = {};

  KeeperEvent wait(std::uint64_t id, Kind kind) {
    for (;;) {
      for (auto it = seen.begin(); it != seen.end(); ++it) {
        if (it->id != id || it->kind != kind) continue;
        KeeperEvent event = *it;
        seen.erase(it);
        return event;
      }
      pollfd watched{keeper.fd(), POLLIN, 0};
      REQUIRE(poll(&watched, 1, 20000) == 1);
      for (KeeperEvent& event : keeper.events()) seen.push_back(std::move(event));
    }
  }
  bool has(std::uint64_t id, Kind kind) const {
    return std::any_of(seen.begin(), seen.end(), [&](const auto& e) { return e.id == id && e.kind == kind; });
  }
};

ProcessId process_in(const std::string& file) {
  REQUIRE(wait_until(10s, 5ms, {}, [&] {
    auto text = read_file_if_there(file);
    return text && text->ends_with("\n");
  }));
  return process_now(std::stoi(read_file(file)));
}

bool gone_soon(const ProcessId& process) {
  return wait_until(10s, 5ms, {}, [&] { return !alive(process); });
}

}  // namespace

TEST_CASE("a program's start and end come as events, with exit code or signal") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  auto seven = keeper.spawn(shell("exit 7"));
  auto killed = keeper.spawn(shell("kill -KILL $$"));
  CHECK(events.wait(seven, Kind::started).process.pid > 0);
  CHECK(events.wait(seven, Kind::ended).exit_code == 7);
  KeeperEvent end = events.wait(killed, Kind::ended);
  CHECK(end.exit_code == 128 + SIGKILL);
  CHECK(end.signal == SIGKILL);
  CHECK(end.left_behind == 0);
}

TEST_CASE("a keeper without a launcher starts programs, and no services") {
  Keeper keeper = Keeper::start(no_worker, {}, {}, Launcher::none);
  Events events{keeper};
  CHECK(events.wait(keeper.spawn(shell("exit 7")), Kind::ended).exit_code == 7);
  Launch service;
  service.argv = {"/bin/true"};
  CHECK_THROWS_WITH_AS(keeper.launch(service), "cannot start a service: /bin/true: there is no launcher",
                       Error);
}

TEST_CASE("what cannot be started is told with its reason") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  Spawn spawn;
  spawn.argv = {"/bin/x"};
  CHECK(events.wait(keeper.spawn(spawn), Kind::not_started).why == "/bin/x: No such file or directory");
  spawn = shell("true");
  spawn.cwd = "/no/such";
  CHECK(events.wait(keeper.spawn(spawn), Kind::not_started).why ==
        "/bin/sh: folder /no/such: No such file or directory");
  spawn = shell("true");
  spawn.as = "no-such-user";
  CHECK(events.wait(keeper.spawn(spawn), Kind::not_started).why == "no such user: no-such-user");
}

TEST_CASE("environment, folder, user, input and outputs are those of the spawn, and nothing else is") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  TempFolder folder;
  auto file = [&](const char* name) {
    return Fd(open((folder.path() + "/" + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  };
  Fd in = file("in"), out = file("out"), apart = file("apart");
  REQUIRE(write(in.get(), "input\n", 6) == 6);
  lseek(in.get(), 0, SEEK_SET);
  Spawn spawn =
      shell("cat; id -un; pwd; env | grep -v -E '^(PWD|_|PATH|OLDPWD|SHLVL)=' | sort; echo err >&2", "R/S/1");
  spawn.env["A"] = "b c";
  spawn.as = "postgres";
  spawn.cwd = "/usr";
  spawn.stdin_fd = in.get();
  spawn.output_fd = out.get();
  spawn.stdout_fd = apart.get();
  CHECK(events.wait(keeper.spawn(spawn), Kind::ended).exit_code == 0);
  CHECK(read_file(folder.path() + "/out") == "err\n");
  CHECK(read_file(folder.path() + "/apart") == "input\npostgres\n/usr\nA=b c\nRELIGHT_STEP=R/S/1\n");

  Fd both = file("both");
  spawn =
      shell("echo out; echo err >&2; ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk' /proc/self/status");
  spawn.output_fd = both.get();
  CHECK(events.wait(keeper.spawn(spawn), Kind::ended).exit_code == 0);
  CHECK(read_file(folder.path() + "/both") ==
        "out\nerr\n4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_CASE("a terminal's signals reach neither the keeper nor what it started; no core is dumped") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  auto id = keeper.spawn(shell("exec sleep 1000"));
  ProcessId program = events.wait(id, Kind::started).process;
  auto stat = proc_stat(program.pid);
  REQUIRE(stat);
  CHECK(stat->session == program.pid);
  int its_keeper = stat->parent;
  CHECK(proc_stat(its_keeper)->session == its_keeper);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) kill(its_keeper, signal);
  CHECK(alive(process_now(its_keeper)));
  rlimit limit;
  REQUIRE(prlimit(program.pid, RLIMIT_CORE, nullptr, &limit) == 0);
  CHECK(limit.rlim_cur <= 1);
  keeper.end(id, 5s);
  CHECK(events.wait(id, Kind::ended).signal == SIGTERM);
}

TEST_CASE(
    "a worker is a fork of the keeper with its socket, kept descriptors, user and output, and ends with its "
    "code") {
  TempFolder folder;
  auto lock = FileLock::try_lock(folder.path() + "/lock");
  REQUIRE(lock);
  Keeper keeper = Keeper::start(
      [](int socket) {
        int subreaper = 0;
        prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
        dprintf(socket, "%d %d %d", subreaper, prctl(PR_GET_DUMPABLE),
                geteuid() == user_named("postgres").uid);
        dprintf(2, "said");
        char byte;
        return read(socket, &byte, 1) == 0 ? 42 : 1;
      },
      {lock->fd()});
  Events events{keeper};
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  Fd ours(ends[0]), theirs(ends[1]),
      out(open((folder.path() + "/out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  Spawn spawn;
  spawn.socket = theirs.get();
  spawn.output_fd = out.get();
  spawn.as = "postgres";
  auto id = keeper.spawn(spawn);
  theirs = Fd();
  ProcessId worker = events.wait(id, Kind::started).process;
  char text[64] = {};
  REQUIRE(read(ours.get(), text, sizeof text - 1) > 0);
  CHECK(std::string(text) == "1 0 1");
  int fds = 0;
  walk("/proc/" + std::to_string(worker.pid) + "/fd", [&](const Entry&) { ++fds; });
  CHECK(fds == 5);  // three, the socket and the kept one
  ours = Fd();
  CHECK(events.wait(id, Kind::ended).exit_code == 42);
  CHECK(read_file(folder.path() + "/out") == "said");
}

TEST_CASE("end: the whole tree gets SIGTERM, and SIGKILL after the grace") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  TempFolder folder;
  Spawn spawn = shell(
      "setsid sh -c 'trap \"echo told > told; exit\" TERM; echo $$ > outside; while :; do sleep 0.05; done' "
      "& "
      "trap '' TERM; sh -c 'echo $$ > child; while :; do sleep 1000; done' & while :; do wait; done");
  spawn.cwd = folder.path();
  auto id = keeper.spawn(spawn);
  ProcessId leader = events.wait(id, Kind::started).process;
  ProcessId child = process_in(folder.path() + "/child"), outside = process_in(folder.path() + "/outside");
  keeper.end(id, 300ms);
  CHECK(events.wait(id, Kind::ended).signal == SIGKILL);
  CHECK_FALSE(alive(leader));
  CHECK_FALSE(alive(child));
  CHECK_FALSE(alive(outside));
  CHECK(exists(folder.path() + "/told"));
}

TEST_CASE("a daemon left behind is ended with its step and counted") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  TempFolder folder;
  Spawn spawn = shell(
      "setsid sh -c 'sleep 1000 & echo $! > daemon; exit' & wait; cat daemon > seen; sleep 1000 & exit 3");
  spawn.cwd = folder.path();
  KeeperEvent end = events.wait(keeper.spawn(spawn), Kind::ended);
  CHECK(end.exit_code == 3);
  CHECK(end.left_behind == 2);
  CHECK_FALSE(alive(process_in(folder.path() + "/seen")));
}

TEST_CASE("a step's daemons are ended with it, while those of another that runs live on") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  TempFolder folder;
  auto daemonize = [&](const std::string& name, const std::string& then, const std::string& tag) {
    Spawn spawn = shell("setsid sh -c 'setsid sleep 1000 & echo $! > " + name + ".new; mv " + name + ".new " +
                            name + "; exit' & wait; " + then,
                        tag);
    spawn.cwd = folder.path();
    return keeper.spawn(spawn);
  };
  auto lasting = daemonize("lasting", "exec sleep 1000", "RUN/lasting/1");
  ProcessId kept = process_in(folder.path() + "/lasting");
  auto brief = daemonize("brief", "exit 0", "RUN/brief/1");
  CHECK(events.wait(brief, Kind::ended).left_behind == 1);
  CHECK_FALSE(alive(process_in(folder.path() + "/brief")));
  CHECK(alive(kept));
  CHECK_FALSE(events.has(lasting, Kind::ended));
  keeper.end(lasting, 5s);
  CHECK(events.wait(lasting, Kind::ended).signal == SIGTERM);
  CHECK_FALSE(alive(kept));
}

TEST_CASE("an orphan without a mark is ended when nothing else runs") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  TempFolder folder;
  // Its environment is empty, its session its own, its parent gone before anybody looked.
  Spawn spawn = shell("setsid sh -c 'env -i setsid sleep 1000 & echo $! > pid' & wait; exit 0", "RUN/a/1");
  spawn.cwd = folder.path();
  auto other = keeper.spawn(shell("exec sleep 1000", "RUN/b/1"));
  events.wait(other, Kind::started);
  events.wait(keeper.spawn(spawn), Kind::ended);
  ProcessId orphan = process_in(folder.path() + "/pid");
  keeper.end(other, 0s);
  events.wait(other, Kind::ended);
  CHECK_FALSE(alive(orphan));
}

TEST_CASE("processes that fork while they are being ended are ended all the same") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  // Each one starts the next, in a session of its own, and ends; 500 of them, should nobody end them.
  Spawn spawn = shell("setsid sh -c \"$0\" \"$0\" 1 & exec sleep 1000");
  spawn.argv.push_back("sleep 0.001; [ $1 -lt 500 ] && setsid sh -c \"$0\" \"$0\" $(($1 + 1)) & exit");
  // The moment in which one has been looked at and the next is not there yet is short.
  for (int round = 0; round < 20; ++round) {
    auto id = keeper.spawn(spawn);
    ProcessId leader = events.wait(id, Kind::started).process;
    auto its_keeper = proc_stat(leader.pid);
    REQUIRE(its_keeper);
    auto orphans = [&] {
      int count = 0;
      for (const ProcStat& stat : proc_all())
        count += stat.parent == its_keeper->parent && stat.process.pid != leader.pid;
      return count;
    };
    REQUIRE(wait_until(10s, 1ms, {}, [&] { return orphans() > 0; }));
    keeper.end(id, 0s);
    events.wait(id, Kind::ended);
    CHECK(orphans() == 0);
  }
}

TEST_CASE("the launcher, too, is named by the lock that it inherited") {
  TempFolder folder;
  const auto lock = FileLock::try_lock(folder.path() + "/alive");
  Keeper keeper = Keeper::start(no_worker, {lock->fd()});
  CHECK(wait_until(10s, 5ms, {}, [&] {
    const std::vector<ProcessId> holders = holders_of(folder.path() + "/alive");
    return std::any_of(holders.begin(), holders.end(), [](const ProcessId& holder) {
      return read_file_if_there("/proc/" + std::to_string(holder.pid) + "/comm") == "relight-launch\n";
    });
  }));
}

TEST_CASE("the engine killed: everything that it started is gone, whatever it did; its lock is free") {
  TempFolder folder;
  const std::string liveness = folder.path() + "/alive";
  pid_t engine = fork();
  if (engine == 0) {
    auto lock = FileLock::try_lock(liveness);
    Keeper keeper = Keeper::start(no_worker, {lock->fd()});
    Spawn spawn = shell(
        "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM HUP; echo $$ > daemon; sleep 1000; sleep 1000' "
        "&) ; "
        "echo $$ > leader; sleep 1000");
    spawn.cwd = folder.path();
    keeper.spawn(spawn);
    for (;;) pause();
  }
  ProcessId leader = process_in(folder.path() + "/leader"), daemon = process_in(folder.path() + "/daemon");
  auto stat = proc_stat(leader.pid);
  REQUIRE(stat);
  ProcessId its_keeper = process_now(stat->parent);
  CHECK(holders_of(liveness).size() >= 4);
  kill(engine, SIGKILL);
  waitpid(engine, nullptr, 0);
  for (const ProcessId& process : {leader, daemon, its_keeper}) CHECK(gone_soon(process));
  CHECK(wait_until(10s, 5ms, {}, [&] { return holders_of(liveness).empty(); }));
}

TEST_CASE("the keeper killed too: the orphan is named by the lock that it inherited, and ended") {
  TempFolder folder;
  const std::string liveness = folder.path() + "/alive";
  pid_t engine = fork();
  if (engine == 0) {
    auto lock = FileLock::try_lock(liveness);
    Keeper keeper = Keeper::start(no_worker, {lock->fd()});
    Spawn spawn = shell("echo $$ > leader; exec sleep 1000");
    spawn.cwd = folder.path();
    keeper.spawn(spawn);
    for (;;) pause();
  }
  ProcessId leader = process_in(folder.path() + "/leader");
  ProcessId its_keeper = process_now(proc_stat(leader.pid)->parent);
  kill(its_keeper.pid, SIGKILL);
  kill(engine, SIGKILL);
  waitpid(engine, nullptr, 0);
  REQUIRE(gone_soon(its_keeper));
  // The launcher, just forked, may not have come to closing what it inherited; it ends with the engine.
  std::vector<ProcessId> holders;
  REQUIRE(wait_until(10s, 5ms, {}, [&] { return (holders = holders_of(liveness)).size() == 1; }));
  CHECK(holders[0].pid == leader.pid);
  CHECK(holders[0].start_time == leader.start_time);
  CHECK(end_holders(liveness, 10s).empty());
  CHECK_FALSE(alive(leader));
  CHECK(holders_of(folder.path() + "/none").empty());
}

TEST_CASE("a keeper that is gone is an error, not a wait") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  auto id = keeper.spawn(shell("exec sleep 1000"));
  ProcessId program = events.wait(id, Kind::started).process;
  kill(proc_stat(program.pid)->parent, SIGKILL);
  pollfd watched{keeper.fd(), POLLIN, 0};
  REQUIRE(poll(&watched, 1, 10000) == 1);
  CHECK_THROWS_WITH(keeper.events(), "cannot reach the keeper: its process has ended");
  signal_process(program, SIGKILL);
}

TEST_CASE("a launched service outlives engine, keeper and launcher, and holds nothing of them") {
  TempFolder folder;
  const std::string liveness = folder.path() + "/alive";
  pid_t engine = fork();
  if (engine == 0) {
    auto lock = FileLock::try_lock(liveness);
    Keeper keeper = Keeper::start(no_worker, {lock->fd()});
    Launch launch;
    launch.argv = {"/bin/sleep", "1000"};
    launch.pid_file = folder.path() + "/pid";
    keeper.launch(launch);
    try {
      launch.argv = {"/no/such"};
      launch.pid_file.clear();
      keeper.launch(launch);
    } catch (const Error& error) {
      write_file(folder.path() + "/error", error.what(), 0600);
    }
    for (;;) pause();
  }
  REQUIRE(wait_until(10s, 5ms, {}, [&] { return exists(folder.path() + "/error"); }));
  CHECK(read_file(folder.path() + "/error") == "cannot start: /no/such: No such file or directory");
  CHECK(holders_of(liveness).size() == 3);  // the engine, the keeper and the launcher: not the service
  kill(engine, SIGKILL);
  waitpid(engine, nullptr, 0);
  CHECK(wait_until(10s, 5ms, {}, [&] { return holders_of(liveness).empty(); }));
  ProcessId service = process_in(folder.path() + "/pid");
  CHECK(alive(service));
  CHECK(signal_process(service, SIGKILL) == 0);
}

TEST_CASE("large environments and many programs at once pass through") {
  Keeper keeper = Keeper::start(no_worker, {});
  Events events{keeper};
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 40; ++i) {
    Spawn spawn = shell("exit ${#BIG}");
    spawn.env["BIG"] = std::string(10, 'x');
    for (int n = 0; n < 10; ++n) spawn.env["FILL" + std::to_string(n)] = std::string(100000, 'y');
    ids.push_back(keeper.spawn(spawn));
  }
  for (auto id : ids) CHECK(events.wait(id, Kind::ended).exit_code == 10);
}
