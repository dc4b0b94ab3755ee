#include "tests/support/service.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "runner/sys/process.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"

namespace relight {

std::vector<std::string> listening_command(int port, bool stubborn) {
  const std::string script =
      "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 5, ReuseAddr "
      "=> 1) "
      "or die \"cannot listen: $!\\n\"; $| = 1; print \"ready\\n\";" +
      std::string(stubborn ? "if (!fork) { $SIG{TERM} = 'IGNORE'; open F, '>', $ARGV[1]; print F \"$$\\n\"; "
                             "close F; sleep 1000; }"
                           : "") +
      "while (1) { my $c = $s->accept or next; close $c; }";
  return {"/usr/bin/perl", "-MIO::Socket::INET", "-e", script, std::to_string(port)};
}

std::string strangers_on(int port) {
  std::vector<std::string> pids;
  for (const sys::Listener& listener : sys::listeners_on(port))
    for (const sys::ProcStat& stat : sys::holders_of_socket(listener.inode, sys::proc_all()))
      pids.push_back(std::to_string(stat.process.pid));
  return sys::join(pids, " ");
}

EndAtExit::~EndAtExit() {
  const auto text = sys::read_file_if_there(pid_file_);
  if (!text || std::atoi(text->c_str()) <= 1) return;
  const sys::ProcessId process = sys::process_now(std::atoi(text->c_str()));
  kill(-process.pid, SIGKILL);
  // The next test may start a service of the same token.
  CHECK(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {},
                        [&] { return !alive(process); }));
}

StandInSystemd::StandInSystemd() : path_before_(std::getenv("PATH")) {
  sys::write_file(folder_.path() + "/systemctl", R"sh(#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >> calls
[ "$1" = --no-ask-password ] && shift
verb=$1; shift
case $verb in
  show)
    unit=$2
    if [ ! -e "$unit.unit" ]; then echo LoadState=not-found; echo ActiveState=inactive; echo MainPID=0; exit 0; fi
    echo LoadState=loaded; echo UnitFileState=disabled
    if [ -e reloaded ]; then echo NeedDaemonReload=no; else echo NeedDaemonReload=yes; fi
    pid=$(cat "$unit.pid" 2>/dev/null)
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status"; then
      echo ActiveState=active; echo "MainPID=$pid"
    else echo ActiveState=inactive; echo MainPID=0; fi ;;
  daemon-reload) : > reloaded ;;
  start)
    setsid sh "$1.unit" >/dev/null 2>&1 & pid=$!
    sleep 0.1; kill -0 $pid 2>/dev/null || exit 1
    echo $pid > "$1.pid" ;;
  stop)
    pid=$(cat "$1.pid" 2>/dev/null) || exit 0
    kill "$pid"; while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status"; do sleep 0.01; done ;;
  *) exit 1 ;;
esac
)sh",
                  0755);
  setenv("PATH", (folder_.path() + ":" + path_before_).c_str(), 1);
}

StandInSystemd::~StandInSystemd() {
  setenv("PATH", path_before_.c_str(), 1);
  sys::walk(folder_.path(), [&](const sys::Entry& entry) {
    if (entry.path.ends_with(".pid"))
      kill(std::atoi(sys::read_file(folder_.path() + "/" + entry.path).c_str()), SIGKILL);
  });
}

void StandInSystemd::add(const std::string& unit, const std::string& script) {
  sys::write_file(folder_.path() + "/" + unit + ".unit", script + "\n", 0644);
}

std::string StandInSystemd::calls() const {
  return sys::read_file_if_there(folder_.path() + "/calls").value_or("");
}

DebianCluster::DebianCluster() : name_("relight" + std::to_string(getpid())), port_(free_port()) {
  sys::Command command;
  command.argv = {"pg_createcluster", "15", name_, "--port", std::to_string(port_), "--", "--no-sync"};
  sys::output_of(command, "cannot make a cluster");
}

DebianCluster::~DebianCluster() {
  sys::Command command;
  command.argv = {"pg_dropcluster", "--stop", "15", name_};
  CHECK(sys::run(command).ok());
}

}  // namespace relight
