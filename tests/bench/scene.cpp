#include "tests/bench/scene.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>

#include "runner/sys/error.h"
#include "runner/sys/process.h"

namespace relight::bench {

PostgresFolder::PostgresFolder() : sys::TempFolder("/var/tmp") {
  const sys::User user = sys::user_named("postgres");
  if (chown(path().c_str(), user.uid, user.gid) != 0) throw system_error(errno, "cannot give away", path());
}

void as_postgres(const std::string& script) {
  sys::Command command;
  command.argv = {"/bin/bash", "-ec", script};
  command.cwd = "/";
  command.as = "postgres";
  sys::output_of(command, "a command of the benchmark failed");
}

double seconds_as_postgres(const std::string& script) {
  const auto began = std::chrono::steady_clock::now();
  as_postgres(script);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

int exit_of(const std::function<void()>& run) {
  try {
    run();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

Backrest::Backrest(const std::string& folder, const std::string& packing)
    : folder_(folder + "/backrest"), packing_(packing) {
  as_postgres("mkdir -p " + folder_ + "/{repo,spool,lock,log}");
}

void Backrest::add(const Postgres& server) const {
  as_postgres(fmt::format(
      "cat >{0}/conf <<'END'\n"
      "[global]\nrepo1-path={0}/repo\nspool-path={0}/spool\nlock-path={0}/lock\n"
      "log-path={0}/log\nlog-level-file=off\nlog-level-console=warn\nprocess-max=2\n"
      "compress-type={1}\nstart-fast=y\narchive-async=y\n"
      "[main]\npg1-path={2}\npg1-port={3}\npg1-socket-path={4}\npg1-user=postgres\nEND\n"
      "{5}",
      folder_, packing_, server.data(), server.port(), server.socket_folder(), command("stanza-create")));
}

std::string Backrest::command(const std::string& arguments) const {
  return "pgbackrest --config=" + folder_ + "/conf --stanza=main " + arguments;
}

}  // namespace relight::bench
