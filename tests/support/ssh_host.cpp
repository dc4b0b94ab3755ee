#include "tests/support/ssh_host.h"

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include "runner/sys/process.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"
#include "tests/support/recovery.h"

namespace relight {
namespace {

constexpr const char* run_folder = "/run/sshd";  // sshd insists on it

sys::Result run(std::vector<std::string> argv, const std::string& as = "") {
  sys::Command command;
  command.argv = std::move(argv);
  command.as = as;
  command.cwd = "/";
  return sys::run(command);
}

}  // namespace

SshHost::SshHost() : port_(free_port()) {
  for (const char* key : {"host", "key"})
    REQUIRE(run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file(key)}).ok());
  sys::write_file(file("conf"),
                  "ListenAddress 127.0.0.1\nPort " + std::to_string(port_) + "\nHostKey " + file("host") +
                      "\nAuthorizedKeysFile " + file("key.pub") +
                      "\nStrictModes no\nUsePAM yes\nPidFile none\n",
                  0600);
  sys::write_file(
      client(),
      "#!/bin/sh\necho >>" + file("calls") + "\nread -r faults named <" + file("faults") +
          "\nif [ \"$faults\" -gt 0 ] && case \"$*\" in *\"$named\"*) true ;; *) false ;; esac; then\n  echo "
          "$((faults - 1)) $named >" +
          file("faults") + "\n  echo 'ssh: connect to host: Connection refused' >&2\n  exit 255\nfi\n" +
          "exec " + sys::find_program("ssh") + " -F none -i " + file("key") +
          " -o LogLevel=ERROR -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \"$@\"\n",
      0755);
  fail_next(0);
  give_to_postgres(folder_.path());
  REQUIRE(chown(file("host").c_str(), 0, 0) == 0);
  made_run_folder_ = mkdir(run_folder, 0755) == 0;
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen(file("log").c_str(), "a", stdout) != nullptr) dup2(1, 2);
    execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", file("conf").c_str(), nullptr);
    _exit(127);
  }
  using namespace std::chrono_literals;
  const bool up = sys::wait_until(30s, 20ms, {}, [&] {
    return run({client(), "-p", std::to_string(port_), "postgres@127.0.0.1", "true"}, "postgres").ok();
  });
  INFO(sys::read_file(file("log")));
  REQUIRE(up);
}

SshHost::~SshHost() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  if (made_run_folder_) rmdir(run_folder);
}

void SshHost::fail_next(int times, const std::string& named) const {
  sys::write_file(file("faults"), std::to_string(times) + " " + named + "\n", 0666);
}

int SshHost::calls() const {
  return static_cast<int>(sys::read_file(file("calls")).size());
}

int SshHost::logins() const {
  const std::string log = sys::read_file(file("log"));
  int count = 0;
  for (std::size_t at = 0; (at = log.find("Accepted publickey", at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace relight
