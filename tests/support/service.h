// Services for tests: a program that listens, a stand-in for systemd, a real cluster of Debian's packages.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "tests/support/test_call.h"

namespace relight {

// A program that listens on 127.0.0.1:PORT and starts a child that ignores SIGTERM where `stubborn`.
std::vector<std::string> listening_command(int port, bool stubborn = false);

// The pids that listen on the port, joined by blanks.
std::string strangers_on(int port);

// Ends the process that a pid file names, whatever a test does.
class EndAtExit {
 public:
  explicit EndAtExit(std::string pid_file) : pid_file_(std::move(pid_file)) {}
  ~EndAtExit();
  EndAtExit(const EndAtExit&) = delete;

 private:
  std::string pid_file_;
};

// Where no systemd runs: a `systemctl` of the form that the steps use, first in PATH, over real processes.
class StandInSystemd {
 public:
  StandInSystemd();
  ~StandInSystemd();
  StandInSystemd(const StandInSystemd&) = delete;

  void add(const std::string& unit, const std::string& script);
  std::string calls() const;  // every call, a line each
  std::string folder() const { return folder_.path(); }

 private:
  sys::TempFolder folder_;
  std::string path_before_;
};

class SystemdCall : public TestCall {
 public:
  SystemdCall(const StandInSystemd& systemd, std::string step)
      : TestCall(std::move(step)), folder_(systemd.folder()) {}
  std::string place(const std::string& path) const override {
    return path == "/run/systemd/system" ? folder_ : path;
  }

 private:
  std::string folder_;
};

// pg_createcluster 15 NAME on a free port; dropped with the object.
class DebianCluster {
 public:
  DebianCluster();
  ~DebianCluster();
  DebianCluster(const DebianCluster&) = delete;

  std::string unit() const { return "postgresql@15-" + name_; }
  std::string config() const { return "/etc/postgresql/15/" + name_; }
  int port() const { return port_; }

 private:
  std::string name_;
  int port_;
};

}  // namespace relight
