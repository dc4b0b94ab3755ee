#include "tests/support/program.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"

extern char** environ;

namespace relight {

Bench::Bench() : folder_("/var/tmp") {}
Bench::~Bench() = default;

void Bench::write(const std::string& name, const std::string& text, int mode) const {
  sys::write_file(file(name), text, static_cast<mode_t>(mode));
}

std::string Bench::read(const std::string& name) const {
  return sys::read_file_if_there(file(name)).value_or("");
}

std::vector<std::string> Bench::argv_of() const {
  std::vector<std::string> argv = under;
  argv.insert(argv.end(), {RELIGHT_PROGRAM, "--state", file(state)});
  return argv;
}

Ran Bench::relight(std::vector<std::string> args) const {
  sys::Command command;
  command.argv = argv_of();
  command.argv.insert(command.argv.end(), args.begin(), args.end());
  command.extra_env["BENCH"] = path();
  std::string errors;
  command.on_output = [&](std::string_view bytes) { errors += bytes; };
  const sys::Result result = sys::run(command);
  return {result.exit_code, result.out, errors};
}

Ran Bench::run(const std::string& runbook, std::vector<std::string> more) const {
  write("book.lua", runbook);
  std::vector<std::string> args = {"run", file("book.lua")};
  args.insert(args.end(), more.begin(), more.end());
  return relight(args);
}

int Bench::start(std::vector<std::string> args) const {
  std::vector<std::string> words = argv_of();
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, file("started.out").c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  setenv("BENCH", path().c_str(), 1);
  pid_t pid = -1;
  REQUIRE(posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return pid;
}

Json Bench::status() const {
  const Ran ran = relight({"status", "--json"});
  INFO(ran.err);
  REQUIRE(ran.exit == 0);
  return Json::parse(ran.out);
}

std::string Bench::run_state() const {
  return status()["state"].get<std::string>();
}

std::string Bench::state_of(const std::string& step) const {
  const Json all = status();
  for (const Json& one : all["steps"])
    if (one["name"] == step) return one["state"].get<std::string>();
  return "no such step";
}

std::string shell_book(const std::string& steps, const std::string& fields) {
  return "runbook \"book\" { " + fields + R"( }
local input = inputs { dir = { doc = "where", type = "path" } }
local function sh(name, line, more)
  local fields = { command = { "/bin/sh", "-ec", line }, cwd = input.dir, in_doubt = "again",
                   undo = { "/bin/sh", "-ec", "echo undo " .. name .. " >> " .. (input.dir / "out") } }
  for field, value in pairs(more or {}) do fields[field] = value end
  return shell.run(name)(fields)
end
)" + steps;
}

std::string flat(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n') {
      out += text[i];
      continue;
    }
    out += ' ';
    while (i + 1 < text.size() && text[i + 1] == ' ') ++i;
  }
  return out;
}

void wait_for_file(const std::string& path) {
  REQUIRE(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {},
                          [&] { return sys::exists(path); }));
}

int wait_for_exit(int pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace relight
