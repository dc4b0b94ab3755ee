// Ember as the demo uses it: on a real PostgreSQL, through its API, stopped and started.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/sql.h"
#include "runner/sys/wait.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

const std::string old_ember = EMBER_FOLDER "/1.0.0/bin/ember", new_ember = EMBER_FOLDER "/1.1.0/bin/ember";

std::string key_of(char letter) {
  return sys::to_base64(std::string(32, letter));
}

struct Answer {
  int status = 0;  // 0: none came
  std::string body;
  nlohmann::json json() const { return nlohmann::json::parse(body); }
};

// A host: a database, a blob folder, settings, and at most one Ember.
class Host {
 public:
  Host() {
    postgres.execute("create role ember login");
    postgres.execute("create database ember owner ember");
    sys::make_folders(folder.path() + "/blobs");
    settings = {{"PATH", ::getenv("PATH")},
                {"EMBER_DATABASE_URL", postgres.conninfo("ember") + " user=ember"},
                {"EMBER_BACKUP_URL", postgres.conninfo("ember")},
                {"EMBER_BLOB_DIR", folder.path() + "/blobs"},
                {"EMBER_MASTER_KEY", key_of('k')},
                {"EMBER_MEDIA_TOKEN_SECRET", key_of('m')},
                {"EMBER_LISTEN", "127.0.0.1:" + std::to_string(port)},
                {"EMBER_DRAIN", "0"}};
  }
  ~Host() {
    if (pid > 0) ::kill(pid, SIGKILL), ended();
  }

  void start(const std::string& program) {
    int log = ::open((folder.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(log, 1), ::dup2(log, 2);
      std::vector<std::string> lines;
      for (auto& [name, value] : settings) lines.push_back(name + "=" + value);
      std::vector<char*> environment;
      for (auto& line : lines) environment.push_back(line.data());
      environment.push_back(nullptr);
      ::execle(program.c_str(), program.c_str(), "serve", nullptr, environment.data());
      ::_exit(127);
    }
    ::close(log);
    bool up =
        sys::wait_until(20s, 10ms, nullptr, [this] { return get("/api/health").status != 0 || over(); });
    INFO(sys::read_file(folder.path() + "/log"));
    REQUIRE(up);
    REQUIRE(!over());
  }
  bool over() {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid;
  }
  int ended() {  // waits for its end: its exit code
    int status = 0;
    ::waitpid(pid, &status, 0);
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int stop() {
    ::kill(pid, SIGTERM);
    return ended();
  }

  // One run of a program with the settings.
  sys::Result run(const std::string& program, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program);
    return sys::run({.argv = arguments,
                     .env = settings,
                     .extra_env = {},
                     .cwd = "",
                     .as = "",
                     .stdin_text = "",
                     .stop = nullptr,
                     .on_output = nullptr});
  }

  Answer ask(const std::string& path, std::vector<std::string> options = {}, const std::string& body = "") {
    std::vector<std::string> argv{"curl", "-s", "-w", "\n%{http_code}",
                                  "http://127.0.0.1:" + std::to_string(port) + path};
    argv.insert(argv.end(), options.begin(), options.end());
    auto result = sys::run({.argv = argv,
                            .env = std::nullopt,
                            .extra_env = {},
                            .cwd = "",
                            .as = "",
                            .stdin_text = body,
                            .stop = nullptr,
                            .on_output = nullptr});
    std::size_t end = result.out.rfind('\n');
    REQUIRE(end != result.out.npos);
    return {.status = std::stoi(result.out.substr(end + 1)), .body = result.out.substr(0, end)};
  }
  Answer get(const std::string& path) { return ask(path); }
  Answer send(const std::string& method, const std::string& path, const std::string& body) {
    return ask(path, {"-X", method, "-H", "Content-Type: image/png", "--data-binary", "@-"}, body);
  }

  // Two notes, one secret, one attachment.
  void fill() {
    REQUIRE(send("POST", "/api/notes", R"({"title": "first", "body": "Grüße"})").status == 201);
    REQUIRE(send("POST", "/api/notes", R"({"title": "second", "body": ""})").status == 201);
    REQUIRE(send("PUT", "/api/secrets/mail", "hunter2-hunter2").status == 204);
    REQUIRE(send("POST", "/api/notes/1/attachments?name=a.bin", picture).status == 201);
  }

  Postgres postgres;
  sys::TempFolder folder;
  int port = free_port();
  pid_t pid = 0;
  std::map<std::string, std::string> settings;
  const std::string picture = std::string("\x89PNG\0\xff", 6) + std::string(100000, 'p');
};

}  // namespace

TEST_CASE("ember keeps notes, sealed secrets and attachments") {
  Host host;
  host.start(old_ember);
  host.fill();

  auto notes = host.get("/api/notes").json();
  REQUIRE(notes.size() == 2);
  CHECK(notes[0]["title"] == "first");
  CHECK(notes[0]["body"] == "Grüße");
  CHECK(host.get("/api/secrets").json() == nlohmann::json{"mail"});
  CHECK(host.get("/api/secrets/mail").body == "hunter2-hunter2");
  CHECK(host.get("/api/secrets/none").status == 404);
  CHECK(host.send("POST", "/api/notes", "{}").status == 400);
  CHECK(host.send("POST", "/api/notes/99/attachments?name=x", "x").status == 404);

  auto attachments = host.get("/api/attachments").json();
  REQUIRE(attachments.size() == 1);
  std::string sha256 = attachments[0]["sha256"], link = attachments[0]["link"];
  CHECK(sha256 == sys::sha256_hex(host.picture));
  CHECK(sys::read_file(host.folder.path() + "/blobs/" + sha256.substr(0, 2) + "/" + sha256) == host.picture);
  CHECK(host.get(link).body == host.picture);
  CHECK(host.get("/media/1?token=" + std::string(64, '0')).status == 403);

  // The column is in the form that crypto.h promises, opened here by another hand.
  std::string sealed, data_key, text;
  REQUIRE(sys::from_hex(
      host.postgres.value("select encode(sealed, 'hex') from vault where name = 'mail'", "ember"), sealed));
  CHECK(sealed.size() == 73 + 15 + 16);
  CHECK(sealed[0] == 1);
  REQUIRE(sys::open_aes_256_gcm(std::string(32, 'k'), sealed.substr(1, 60), "", data_key));
  REQUIRE(sys::open_aes_256_gcm(data_key, sealed.substr(61), "", text));
  CHECK(text == "hunter2-hunter2");

  CHECK(host.send("DELETE", "/api/notes/1", "").status == 204);
  CHECK(host.get("/api/notes").json().size() == 1);
  CHECK(host.get("/api/attachments").json().empty());
}

TEST_CASE("ember is ready only while database, key and blobs answer") {
  Host host;
  host.start(old_ember);
  CHECK(host.get("/readyz").status == 200);
  CHECK(host.get("/api/health").json() ==
        nlohmann::json{{"status", "ok"}, {"version", "1.0.0"}, {"schema_version", 1}});

  host.postgres.stop();
  CHECK(host.get("/readyz").status == 503);
  CHECK(host.get("/api/health").status == 503);
  host.postgres.start();
  CHECK(host.get("/readyz").status == 200);

  std::string blobs = host.folder.path() + "/blobs";
  std::filesystem::rename(blobs, blobs + ".away");
  CHECK(host.get("/readyz").json()["blobs"] == "cannot use " + blobs + ": No such file or directory");
  CHECK(host.get("/readyz").status == 503);
  std::filesystem::rename(blobs + ".away", blobs);
  CHECK(host.get("/readyz").status == 200);

  CHECK(host.stop() == 0);
  host.settings["EMBER_MASTER_KEY"] = key_of('x');
  host.start(old_ember);
  auto answer = host.get("/readyz");
  CHECK(answer.status == 503);
  CHECK(answer.json()["database"] == "ok");
  CHECK(answer.json()["key"] ==
        "the canary does not open: this is not the key that the vault was sealed with");
}

TEST_CASE("ember says that it stops before it does") {
  Host host;
  host.settings["EMBER_DRAIN"] = "600000";
  host.start(old_ember);
  REQUIRE(host.get("/readyz").status == 200);
  ::kill(host.pid, SIGTERM);
  CHECK(sys::wait_until(20s, 5ms, nullptr, [&] { return host.get("/readyz").status == 503; }));
  CHECK(host.get("/readyz").json()["stopping"] == true);
  CHECK(host.get("/api/notes").status == 200);  // who is still sent here is still served
  ::kill(host.pid, SIGKILL);
  host.ended();

  host.settings["EMBER_DRAIN"] = "0";
  host.start(old_ember);
  CHECK(host.stop() == 0);
  CHECK(host.get("/readyz").status == 0);
}

TEST_CASE("two embers do not share a port") {
  Host host;
  host.start(old_ember);
  auto second = host.run(old_ember, {"serve"});
  CHECK(second.exit_code == 1);
  CHECK(second.err_tail.find("is the port taken?") != std::string::npos);
}

TEST_CASE("ember 1.1.0 migrates, and 1.0.0 refuses what it does not know") {
  Host host;
  host.start(old_ember);
  host.fill();
  host.stop();
  host.start(new_ember);
  CHECK(host.get("/api/health").json()["schema_version"] == 2);
  CHECK(host.get("/readyz").status == 200);
  CHECK(host.get("/api/notes").json()[0]["pinned"] == false);
  CHECK(host.send("POST", "/api/notes", R"({"title": "t", "body": "b", "pinned": true})").json()["pinned"] ==
        true);
  host.stop();
  auto refused = host.run(old_ember, {"serve"});
  CHECK(refused.exit_code == 1);
  CHECK(refused.err_tail ==
        "ember: the database has schema 2, and ember 1.0.0 knows 1: start a newer ember\n");
}

TEST_CASE("ember names the setting that is missing or wrong") {
  Host host;
  auto told = [&](const std::string& name, const std::string& value) {
    std::string before = std::exchange(host.settings[name], value);
    auto result = host.run(old_ember, {"serve"});
    host.settings[name] = before;
    CHECK(result.exit_code == 2);
    return result.err_tail;
  };
  CHECK(told("EMBER_MASTER_KEY", "") == "ember: EMBER_MASTER_KEY is not set\n");
  CHECK(told("EMBER_MASTER_KEY", sys::to_base64(std::string(31, 'k'))) ==
        "ember: EMBER_MASTER_KEY is not the base64 of 32 bytes\n");
  CHECK(told("EMBER_MASTER_KEY", " " + key_of('k').substr(1)) ==
        "ember: EMBER_MASTER_KEY is not the base64 of 32 bytes\n");
  CHECK(told("EMBER_LISTEN", "127.0.0.1:70000") ==
        "ember: EMBER_LISTEN: 70000 is not a number from 1 to 65535\n");
  CHECK(host.run(old_ember, {"frobnicate"}).exit_code == 2);
  CHECK(host.run(new_ember, {"--version"}).out == "ember 1.1.0\n");
}

TEST_CASE("ember backup binds a recovery set, and keeps its keys out of it") {
  Host host;
  host.start(old_ember);
  host.fill();
  std::string set = host.folder.path() + "/set", env = host.folder.path() + "/env";
  {
    std::ofstream file(env);
    file << "# settings\n";
    for (auto& [name, value] : host.settings) file << name << "=" << value << "\n";
  }
  auto first = host.run(old_ember, {"--env", env, "backup", "--base", set});
  INFO(first.err_tail);
  REQUIRE(first.exit_code == 0);

  auto json = nlohmann::json::parse(sys::read_file(set + "/backup.json"));
  CHECK(json["format"] == "recovery-set/1");
  CHECK(json["product"] == "ember");
  CHECK(json["version"] == "1.0.0");
  CHECK(json["schema_version"] == 1);
  CHECK(json["blobs"]["count"] == 1);
  CHECK(json["database"]["base"]["timeline"] == 1);
  CHECK(json["database"]["system_identifier"] ==
        host.postgres.value("select system_identifier::text from pg_control_system()"));

  auto check_files = [&] {
    auto now = nlohmann::json::parse(sys::read_file(set + "/backup.json"));
    std::vector<std::string> names;
    for (auto& file : now["files"]) {
      std::string name = file["path"];
      CHECK(sys::sha256_file(set + "/" + name) == file["sha256"]);
      names.push_back(name);
    }
    return names;
  };
  CHECK(check_files() == std::vector<std::string>{"base/backup_manifest", "blobs.sha256", "blobs.tar.zst",
                                                  "ember.dump", "env", "releases/SHA256SUMS",
                                                  "releases/ember-1.0.0.tar.zst"});

  auto print = json["fingerprints"]["EMBER_MASTER_KEY"];
  std::string salt;
  REQUIRE(sys::from_hex(print["salt"].get<std::string>(), salt));
  CHECK(sys::to_hex(sys::pbkdf2_sha256(std::string(32, 'k'), salt, print["iterations"], 32)) ==
        print["hash"]);
  CHECK(json["fingerprints"]["EMBER_MEDIA_TOKEN_SECRET"]["salt"] != print["salt"]);

  std::string kept = sys::read_file(set + "/env");
  CHECK(kept.starts_with("# settings\n"));
  CHECK(kept.find("EMBER_BLOB_DIR=") != kept.npos);
  CHECK(kept.find("EMBER_MASTER_KEY") == kept.npos);
  CHECK(kept.find("EMBER_MEDIA_TOKEN_SECRET") == kept.npos);

  std::string name = sys::sha256_hex(host.picture);
  CHECK(sys::read_file(set + "/blobs.sha256") == name + "  " + name.substr(0, 2) + "/" + name + "\n");
  CHECK(host.run(Postgres::program("pg_restore"), {"--list", set + "/ember.dump"})
            .out.find("TABLE DATA public vault") != std::string::npos);

  // Anew, without a base backup: the one that is there stays bound.
  REQUIRE(host.send("POST", "/api/notes/1/attachments?name=b.bin", "more").status == 201);
  REQUIRE(host.run(old_ember, {"--env", env, "backup", set}).exit_code == 0);
  CHECK(check_files().size() == 7);
  auto second = nlohmann::json::parse(sys::read_file(set + "/backup.json"));
  CHECK(second["blobs"]["count"] == 2);
  CHECK(second["database"]["base"] == json["database"]["base"]);

  // A damaged blob is told, and the set that is there stays as it was.
  std::ofstream(host.folder.path() + "/blobs/" + name.substr(0, 2) + "/" + name, std::ios::app) << "!";
  auto failed = host.run(old_ember, {"--env", env, "backup", set});
  CHECK(failed.exit_code == 1);
  CHECK(failed.err_tail == "ember: the blob " + name.substr(0, 2) + "/" + name +
                               " is damaged: its bytes are not those of its name\n");
  CHECK(check_files().size() == 7);
  CHECK(nlohmann::json::parse(sys::read_file(set + "/backup.json")) == second);
}

TEST_CASE("ember keeps a database password out of the backup's settings") {
  Host host;
  host.settings["EMBER_DATABASE_URL"] += " password=not-to-be-kept";
  host.start(old_ember);
  std::string set = host.folder.path() + "/set";
  REQUIRE(host.run(old_ember, {"backup", set}).exit_code == 0);
  std::string kept = sys::read_file(set + "/env");
  CHECK(kept.find("not-to-be-kept") == kept.npos);
  CHECK(kept.find("EMBER_BACKUP_URL=") != kept.npos);
}
