// A project of docker compose: `docker compose` where the host has it, else `docker-compose`.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/sys/docker.h"
#include "runner/sys/json.h"

namespace relight::sys {

class Compose {
 public:
  // `project`: empty where compose is to name it, by the file's folder.
  Compose(std::string file, std::string project, RunProgram run);
  ~Compose();

  // The program that drives compose files; empty: neither is there.
  std::vector<std::string> program() const;

  // `file`, and the override beside it that compose itself would take along.
  std::vector<std::string> files() const;

  // The project as compose understands it, every value as a text. Needs no engine. A refused Error with what
  // compose says where it does not parse.
  const Json& config() const;
  // The same, were `text` in the file.
  Json config_with(const std::string& text) const;
  bool has(const std::string& service) const;

  // Of the service, those that have ended, too.
  std::vector<Container> containers(const std::string& service) const;

  // The service alone, made anew where the file says so; returns when it is started, not when it is up.
  Result up(const std::string& service, std::chrono::milliseconds within) const;
  // SIGTERM, and SIGKILL after `within`.
  Result stop(const std::string& service, std::chrono::milliseconds within) const;

  const Docker& docker() const { return docker_; }
  const std::string& file() const { return file_; }

 private:
  Result compose(std::vector<std::string> arguments, std::chrono::milliseconds timeout,
                 const std::string* text = nullptr) const;
  Json parsed(const Result& result) const;
  std::string project_name() const;

  std::string file_, project_;
  RunProgram run_;
  Docker docker_;
  mutable std::vector<std::string> program_;
  mutable std::unique_ptr<Json> config_;
};

}  // namespace relight::sys
