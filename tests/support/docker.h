// A Docker engine of the tests' own: in a network of its own, on a private socket, with images made here. It
// goes with the test process, and leaves nothing.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runner/sys/files.h"

namespace relight {

class DockerEngine {
 public:
  // The one of this process, started when it is first asked for. It moves this process into a network of its
  // own, and DOCKER_HOST names it. nullptr where there can be none: "not run here: WHY" has been printed.
  static DockerEngine* get();

  // `docker ARGS`, its output; a failed test unless it exits 0.
  std::string docker(const std::vector<std::string>& args) const;

  // An image of what lies in a folder, with busybox and its shell in /bin. `command` is what it runs,
  // `changes` are further lines of a Dockerfile.
  void make_image(const std::string& name, const std::string& folder, const std::string& command,
                  const std::vector<std::string>& changes = {}) const;
  // One that serves HTTP on port 8080: /version says `version`; it ends on SIGTERM at once.
  void make_web(const std::string& name, const std::string& version, const std::string& before = "") const;

  // A registry on a free port of 127.0.0.1, empty: "127.0.0.1:PORT".
  std::string registry();

  DockerEngine(const DockerEngine&) = delete;
  ~DockerEngine();

 private:
  DockerEngine();
  std::string start();  // why not; empty: it answers
  sys::TempFolder folder_{"/var/tmp"};
  int keeper_ = -1, registry_ = -1;
  std::string registry_address_;
};

// With which program compose files are driven from here on: "docker compose" or "docker-compose". False where
// the host has it not: "not run here: WHY" has been printed.
bool use_compose(const std::string& program);
// Either, the quicker first.
bool use_any_compose();

// Takes down all that a project has: containers, networks, volumes.
void forget_project(const std::string& project);

// A folder with a compose file; its containers and networks go with it.
class ComposeBench {
 public:
  explicit ComposeBench(const std::string& text);
  ~ComposeBench();
  void write(const std::string& text) const;
  const std::string& path() const { return folder_.path(); }
  std::string file() const { return path() + "/compose.yml"; }
  const std::string& project() const { return project_; }
  std::string via(const std::string& service) const;  // as JSON, for the parameters of a step

 private:
  std::string project_;
  sys::TempFolder folder_;
};

}  // namespace relight
