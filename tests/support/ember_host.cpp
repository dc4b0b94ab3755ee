#include "tests/support/ember_host.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"

namespace relight {
namespace {

std::string key(char letter) {
  return sys::to_base64(std::string(32, letter));
}

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

}  // namespace

EmberHost::EmberHost(const EmberOptions& options) : home(file("home")), releases(file("releases")) {
  if (!options.disk.empty()) disk = std::make_unique<Mounted>(home, Mounted::Kind::tmpfs, options.disk);
  chmod(path().c_str(), 0755);
  postgres.execute("create role ember login");
  postgres.execute("create database ember owner ember");
  for (const char* folder : {"home/releases/1.0.0", "releases"}) sys::make_folders(file(folder));
  shell("cp -r " EMBER_FOLDER
        "/1.0.0/bin home/releases/1.0.0/ && ln -s releases/1.0.0 home/current && "
        "mkdir -p home/blobs home/run && for v in 1.1.0 1.2.0-migration 1.2.0-health 1.2.0-exits "
        "1.2.0-corrupts; do mkdir releases/ember-$v && cp -r " EMBER_FOLDER
        "/$v/bin releases/ember-$v/; done");
  write("home/env",
        "EMBER_DATABASE_URL=" + quoted(postgres.conninfo("ember") + " user=ember") + "\n" +
            "EMBER_BACKUP_URL=" + quoted(postgres.conninfo("ember")) + "\n" +
            "EMBER_BLOB_DIR=" + file("home/blobs") + "\nEMBER_MASTER_KEY=" + key('k') +
            "\nEMBER_MEDIA_TOKEN_SECRET=" + key('m') + "\nEMBER_LISTEN=127.0.0.1:" + std::to_string(port) +
            "\nEMBER_DRAIN=" + std::to_string(options.drain) + "\n",
        0640);
  shell("chown -R nobody home/env home/blobs home/run");
  const Ran started = run(R"(
runbook "start" {}
local input = inputs { home = { doc = "home", type = "path" }, port = { doc = "port", type = "int" } }
service.start "ember" { command = { input.home / "current/bin/ember", "serve" }, as = "nobody",
  env_file = input.home / "env", pid_file = input.home / "run/ember.pid", log = input.home / "run/ember.log",
  port = input.port }
)",
                          {"--set", "home=" + home, "--set", "port=" + std::to_string(port)});
  INFO(started.out, started.err);
  REQUIRE(started.exit == 0);
  for (const char* title : {"one", "two", "three"})
    REQUIRE(ask("POST", "/api/notes", Json{{"title", title}, {"body", "of " + std::string(title)}}.dump())
                .status == 201);
  REQUIRE(ask("POST", "/api/notes/1/attachments?name=a", "a blob").status == 201);
  before = content();
}

EmberHost::~EmberHost() {
  if (const int running = pid(); running > 0) kill(running, SIGKILL);
}

int EmberHost::pid() const {
  const std::string text = sys::trim(read("home/run/ember.pid"));
  return text.empty() || sys::process_now(std::stoi(text)).start_time.empty() ? 0 : std::stoi(text);
}

void EmberHost::shell(const std::string& text) const {
  sys::Command command;
  command.argv = {"/bin/bash", "-ec", text};
  command.cwd = path();
  sys::output_of(command, "cannot prepare a test");
}

sys::HttpAnswer EmberHost::ask(const std::string& method, const std::string& path,
                               const std::string& body) const {
  sys::HttpRequest request;
  request.method = method;
  request.url = "http://127.0.0.1:" + std::to_string(port) + path;
  request.body = body;
  return sys::http(request);
}

std::string EmberHost::content() const {
  return ask("GET", "/api/notes").body + ask("GET", "/api/secrets").body +
         ask("GET", "/api/attachments").body +
         postgres.value("select string_agg(version::text, ',') from schema_version", "ember");
}

std::string EmberHost::version() const {
  return sys::parse_json(ask("GET", "/api/health").body).at("version").get<std::string>();
}

std::vector<std::string> EmberHost::words(const std::string& to, const std::string& command) {
  backup = file("before-" + to + "-" + std::to_string(++backups_));
  return {command, RELIGHT_SOURCE_DIR "/examples/ember/upgrade.lua",
          "--set", "from=1.0.0",
          "--set", "version=" + to,
          "--set", "releases=" + releases,
          "--set", "backup=" + backup,
          "--set", "home=" + home,
          "--set", "port=" + std::to_string(port),
          "--set", "server=" + postgres.conninfo(),
          "--set", "user=nobody",
          "--set", "within=" + std::string(to == "1.1.0" ? "20s" : "3s"),
          "--set", "hold=" + std::string(to == "1.2.0-exits" ? "4s" : "300ms")};
}

Ran EmberHost::upgrade(const std::string& to, const std::vector<std::string>& more) {
  std::vector<std::string> all = words(to);
  all.insert(all.end(), more.begin(), more.end());
  return relight(all);
}

bool EmberHost::is_back() const {
  const std::string runs = version(), holds = content(), ended = run_state();
  const Ran verified = relight({"verify", backup});
  INFO(verified.out, verified.err);
  CHECK(runs == "1.0.0");
  CHECK(holds == before);
  CHECK(ended == "rolled-back");
  CHECK(verified.exit == 0);
  return runs == "1.0.0" && holds == before && ended == "rolled-back" && verified.exit == 0;
}

void EmberHost::lose_copies() const {
  const Json steps = status().at("steps");
  for (const Json& step : steps) {
    if (step.at("name") == "keep-blobs") sys::remove_tree(step.at("outputs").at("copy"));
    if (step.at("name") == "keep-database")
      postgres.execute("drop database \"" + step.at("outputs").at("copy").get<std::string>() + "\"");
  }
}

bool killed_when(const Bench& bench, std::vector<std::string> words, const std::string& step,
                 const std::string& event) {
  sys::remove_file(bench.file("started.out"));
  const int pid = bench.start(std::move(words));
  const auto said = [&] {
    for (const std::string& line : sys::split(bench.read("started.out"), '\n'))
      if (const std::size_t at = line.find("  " + step + " ");
          at == 8 && line.find("  " + event, at + 2) != std::string::npos)
        return true;
    return false;
  };
  for (;;) {
    if (said()) {
      kill(pid, SIGKILL);
      return wait_for_exit(pid) == 128 + SIGKILL;
    }
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid) {
      wait_for_exit(pid);
      return false;
    }
    usleep(500);
  }
}

}  // namespace relight
