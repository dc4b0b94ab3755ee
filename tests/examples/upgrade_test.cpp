// Ember upgraded on a real PostgreSQL: to a good release, and back from each broken one by itself, whatever
// is killed on the way.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/sys/digest.h"
#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// A host on which Ember 1.0.0 runs, with three notes, one blob, and the releases to come.
struct Host : Bench {
  Host() {
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
              "\nEMBER_DRAIN=0\n",
          0640);
    shell("chown -R nobody home/env home/blobs home/run");
    const Ran started = run(R"(
runbook "start" {}
local input = inputs { home = { doc = "home", type = "path" }, port = { doc = "port", type = "int" } }
service.start "ember" { command = { input.home / "current/bin/ember", "serve" }, as = "nobody",
  env_file = input.home / "env", pid_file = input.home / "run/ember.pid", log = input.home / "run/ember.log",
  port = input.port }
)",
                            {"--set", "home=" + file("home"), "--set", "port=" + std::to_string(port)});
    INFO(started.out, started.err);
    REQUIRE(started.exit == 0);
    for (const char* title : {"one", "two", "three"})
      REQUIRE(ask("POST", "/api/notes", Json{{"title", title}, {"body", "of " + std::string(title)}}.dump())
                  .status == 201);
    REQUIRE(ask("POST", "/api/notes/1/attachments?name=a", "a blob").status == 201);
    before = content();
  }
  ~Host() {
    if (const std::string pid = sys::trim(read("home/run/ember.pid")); !pid.empty()) {
      const auto process = sys::process_now(std::stoi(pid));
      if (process.start_time != "") kill(process.pid, SIGKILL);
    }
  }

  static std::string key(char letter) { return sys::to_base64(std::string(32, letter)); }
  static std::string quoted(const std::string& text) { return "\"" + text + "\""; }
  void shell(const std::string& text) const {
    sys::Command command;
    command.argv = {"/bin/bash", "-ec", text};
    command.cwd = path();
    sys::output_of(command, "cannot prepare a test");
  }
  sys::HttpAnswer ask(const std::string& method, const std::string& path,
                      const std::string& body = "") const {
    sys::HttpRequest request;
    request.method = method;
    request.url = "http://127.0.0.1:" + std::to_string(port) + path;
    request.body = body;
    return sys::http(request);
  }
  // All that Ember's API shows, but for the links' tokens, and what the database holds beside it.
  std::string content() const {
    return ask("GET", "/api/notes").body + ask("GET", "/api/secrets").body +
           ask("GET", "/api/attachments").body +
           postgres.value("select string_agg(version::text, ',') from schema_version", "ember");
  }
  std::string version() const {
    return sys::parse_json(ask("GET", "/api/health").body).at("version").get<std::string>();
  }

  std::vector<std::string> words(const std::string& to) const {
    return {"run",   RELIGHT_SOURCE_DIR "/examples/ember/upgrade.lua",
            "--set", "from=1.0.0",
            "--set", "version=" + to,
            "--set", "releases=" + file("releases"),
            "--set", "backup=" + file("before-" + to),
            "--set", "home=" + file("home"),
            "--set", "port=" + std::to_string(port),
            "--set", "server=" + postgres.conninfo(),
            "--set", "user=nobody",
            "--set", "within=" + std::string(to == "1.1.0" ? "20s" : "3s"),
            "--set", "hold=" + std::string(to == "1.2.0-exits" ? "4s" : "300ms")};
  }
  Ran upgrade(const std::string& to) const { return relight(words(to)); }

  // The old version answers with the old data, and nothing but kept copies tells of the attempt.
  void is_back() const {
    CHECK(version() == "1.0.0");
    CHECK(content() == before);
    CHECK(run_state() == "rolled-back");
    const Ran verified = relight({"verify", file("before-" + to_)});
    INFO(verified.out, verified.err);
    CHECK(verified.exit == 0);
  }

  Postgres postgres;
  int port = free_port();
  std::string before, to_;
};

}  // namespace

TEST_CASE("an upgrade ends with the new version, the old data, and a backup that verifies") {
  Host host;
  const Ran ran = host.upgrade("1.1.0");
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  CHECK(host.version() == "1.1.0");
  CHECK(sys::parse_json(host.ask("GET", "/api/notes").body).size() == 3);
  CHECK(host.relight({"verify", host.file("before-1.1.0")}).exit == 0);

  // Hours later somebody goes back by hand; what was written since is put aside.
  CHECK(host.ask("POST", "/api/notes", R"({"title": "later", "body": "lost?"})").status == 201);
  const Ran back = host.relight({"rollback", "--yes"});
  INFO(back.out, back.err);
  CHECK(back.exit == 0);
  host.to_ = "1.1.0";
  host.is_back();
  const Ran kept = host.relight({"keep"});
  INFO(kept.out, kept.err);
  CHECK(kept.out.find("database relight_old_") != std::string::npos);
}

TEST_CASE("each broken release is come back from by itself") {
  for (const char* how : {"migration", "health", "exits", "corrupts"}) {
    CAPTURE(how);
    Host host;
    host.to_ = "1.2.0-" + std::string(how);
    const Ran ran = host.upgrade(host.to_);
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 3);
    host.is_back();
  }
}

namespace {

// Starts it, and kills relight when the journal says that; true: it came to that.
bool killed_when(const Host& host, std::vector<std::string> words, const std::string& said) {
  sys::remove_file(host.file("started.out"));
  const int pid = host.start(std::move(words));
  for (;;) {
    if (host.read("started.out").find(said) != std::string::npos) {
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

}  // namespace

TEST_CASE("killed at any step of an upgrade that fails, or of its way back, and resumed: the same end") {
  for (const std::pair<std::string, std::string>& at :
       std::vector<std::pair<std::string, std::string>>{{"archive", "started"},
                                                        {"keep-database", "started"},
                                                        {"ember", "started"},
                                                        {"health", "undoing"},
                                                        {"release", "undoing"},
                                                        {"keep-database", "undoing"},
                                                        {"stop", "undoing"}}) {
    CAPTURE(at.first);
    CAPTURE(at.second);
    Host host;
    host.to_ = "1.2.0-health";
    CHECK(killed_when(host, host.words(host.to_),
                      at.first + std::string(15 - at.first.size(), ' ') + at.second));
    const Ran resumed = host.relight({"resume"});
    INFO(resumed.out, resumed.err);
    CHECK(resumed.exit == 3);
    host.is_back();
  }
}
