// The Sophon runbook on a real engine with a real PostgreSQL in a container. Scripts stand in for Sophon's
// own images: they migrate the database when they start, as Sophon does, serve /api/health on 8081 and log
// what they did.
#include <doctest/doctest.h>

#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"
#include "tests/support/docker_postgres.h"
#include "tests/support/ember_host.h"
#include "tests/support/port.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

using namespace std::chrono_literals;

void make_sophon(const DockerEngine& engine, const std::string& version, const std::string& migration) {
  const sys::TempFolder folder("/var/tmp");
  add_programs(folder.path(), {"/usr/lib/postgresql/15/bin/psql"});
  sys::make_folders(folder.path() + "/www/api");
  sys::write_file(folder.path() + "/www/api/health", Json{{"status", "ok"}, {"version", version}}.dump(),
                  0644);
  sys::write_file(
      folder.path() + "/start",
      "PATH=$PATH:/usr/lib/postgresql/15/bin\nsql() { psql -h postgres -U sophon -d sophon -qAtc \"$1\"; }\n"
      "echo \"Sophon " +
          version +
          " starts\"\n"
          "until sql 'select 1' >/dev/null 2>&1; do sleep 0.1; done\n" +
          migration + "\nmkdir -p /data/logs; echo " + version + " >>/data/logs/sophon.log; echo " + version +
          " >/data/config/seen\n"
          "busybox httpd -p 8081 -h /www\ntrap 'exit 0' TERM\nwhile :; do sleep 3600 & wait $!; done\n",
      0755);
  engine.make_image("buildersoftdev/sophon:" + version, folder.path(), "[\"/bin/sh\", \"/start\"]");
  engine.make_web("buildersoftdev/sophon-dashboard:" + version, version);
}

const DockerEngine* engine() {
  const DockerEngine* found = DockerEngine::get();
  if (found == nullptr || !use_any_compose()) return nullptr;
  static bool made = false;
  if (made) return found;
  make_postgres_image(*found, "postgres:15");
  make_sophon(*found, "1.1.0", "sql 'create table if not exists notes (title text)' 2>/dev/null");
  make_sophon(
      *found, "1.2.0",
      "sql 'alter table notes add column if not exists pinned boolean not null default false' 2>/dev/null\n"
      "echo \"Applied migration 20260401_AddPinned\"");
  // It answers, and has harmed what it was to migrate.
  make_sophon(*found, "1.3.0",
              "sql \"update notes set title = 'lost'\"\necho 'fail: Migration 20260501 failed: no column'");
  return made = true, found;
}

struct Sophon : Bench {
  Sophon() {
    for (const char* folder : {"data/security", "data/config", "data/logs"}) sys::make_folders(file(folder));
    write("data/security/vault.key", std::string(32, 'v'), 0600);
    write("data/config/agents.json", "{}");
    write("password", password + "\n", 0600);
    write("passphrase", passphrase + "\n", 0600);
    write("compose.yml", text());
    compose({"up", "-d"});
    // Made as the operator would: Sophon waits for its database.
    REQUIRE(sys::wait_until(20s, 100ms, {}, [&] { return try_sql("postgres", "select 1") == "1"; }));
    try_sql("postgres", "create database sophon");
    REQUIRE(sys::wait_until(1min, 100ms, {}, [&] { return version() == "1.1.0"; }));
    sql("insert into notes values ('one'), ('two')");
  }
  ~Sophon() { forget_project(project); }

  std::string text() const {
    return "services:\n"
           "  sophon-gateway:\n    image: buildersoftdev/sophon:1.1.0  # pinned\n"
           "    ports: [\"127.0.0.1:" +
           std::to_string(port) +
           ":8081\"]\n"
           "    environment: {PGPASSWORD: \"" +
           password + "\"}\n    volumes: [\"" + file("data") +
           ":/data\"]\n"
           "  sophon-dashboard:\n    image: \"buildersoftdev/sophon-dashboard:1.1.0\"\n"
           "  postgres:\n    image: postgres:15\n    user: \"999:999\"\n    environment: {ROLE: sophon, "
           "PASSWORD: \"" +
           password + "\"}\n    volumes: [\"pgdata:/var/lib/pg\"]\nvolumes: {pgdata: {}}\n";
  }
  std::string compose(std::vector<std::string> args) const {
    sys::Command command;
    command.argv = {"docker", "compose"};
    sys::Command asked = command;
    asked.argv.push_back("version");
    if (!sys::run(asked).ok()) command.argv = {"docker-compose"};
    command.argv.insert(command.argv.end(), {"-f", file("compose.yml"), "-p", project});
    command.argv.insert(command.argv.end(), args.begin(), args.end());
    return sys::trim(sys::output_of(command, "cannot prepare a test"));
  }
  std::string try_sql(const std::string& database, const std::string& text) const {
    sys::Command command;
    command.argv = {"docker",
                    "exec",
                    container("postgres"),
                    "/usr/lib/postgresql/15/bin/psql",
                    "-h",
                    "/tmp",
                    "-U",
                    "sophon",
                    "-d",
                    database,
                    "-qAtc",
                    text};
    return sys::trim(sys::run(command).out);
  }
  std::string sql(const std::string& text) const { return try_sql("sophon", text); }
  std::string container(const std::string& service) const {
    return DockerEngine::get()->docker({"ps", "-q", "--filter", "label=com.docker.compose.project=" + project,
                                        "--filter", "label=com.docker.compose.service=" + service});
  }
  std::string version() const {
    sys::HttpRequest request;
    request.url = "http://127.0.0.1:" + std::to_string(port) + "/api/health";
    try {
      return Json::parse(sys::http(request).body).at("version");
    } catch (const std::exception&) {
      return "";
    }
  }
  std::vector<std::string> words(const std::string& to) const {
    std::vector<std::string> words = {"run", RELIGHT_SOURCE_DIR "/runbooks/sophon/upgrade.lua"};
    for (const std::string& one :
         {"from=" + std::string("1.1.0"), "version=" + to, "file=" + file("compose.yml"),
          "project=" + project, "data=" + file("data"), "backup=" + file("backup-" + to),
          std::string("database=postgres"), "password=file:" + file("password"),
          "passphrase=file:" + file("passphrase"), "port=" + std::to_string(port), std::string("within=30s"),
          std::string("hold=1s")})
      words.insert(words.end(), {"--set", one});
    words.push_back("--yes");
    return words;
  }
  Ran upgrade(const std::string& to) const { return relight(words(to)); }
  void lose_copies() const {
    const Json steps = status().at("steps");
    for (const Json& step : steps) {
      if (step.at("name") == "keep-blobs") sys::remove_tree(step.at("outputs").at("copy"));
      if (step.at("name") == "keep-database")
        sql("drop database \"" + step.at("outputs").at("copy").get<std::string>() + "\"");
    }
  }
  void is_as_before() const {
    CHECK(version() == "1.1.0");
    CHECK(sql("select string_agg(title, ' ' order by title) from notes") == "one two");
    CHECK(sql("select count(*) from information_schema.columns where table_name = 'notes'") == "1");
    CHECK(read("compose.yml") == text());
    CHECK(read("data/config/seen") == "1.1.0\n");
    CHECK(container("sophon-dashboard") != "");
  }

  const std::string password = "hunter2-of-the-database", passphrase = "hunter2-of-the-backups";
  const int port = free_port();
  const std::string project = "sophon" + std::to_string(port);
};

}  // namespace

TEST_CASE("Sophon is upgraded, and back by itself from a release whose migration fails") {
  if (engine() == nullptr) return;
  const Sophon sophon;
  const std::string gateway = sophon.container("sophon-gateway");

  // What cannot be done is told before anything stops.
  Ran ran = sophon.upgrade("1.9.9");
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.out + ran.err).find("the image is not to be had: buildersoftdev/sophon:1.9.9") !=
        std::string::npos);
  std::vector<std::string> lied = sophon.words("1.2.0");
  lied.insert(lied.end(), {"--set", "from=1.0.0"});
  ran = sophon.relight(lied);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.out + ran.err).find("another version is pinned: sophon-dashboard") != std::string::npos);
  sophon.write("compose.yml", "services:\n  sophon-gateway: [\n");
  ran = sophon.upgrade("1.2.0");
  CHECK(ran.exit == 2);
  CHECK(flat(ran.out + ran.err).find("the compose file does not parse") != std::string::npos);
  sophon.write("compose.yml", sophon.text());
  CHECK(sophon.container("sophon-gateway") == gateway);

  ran = sophon.upgrade("1.3.0");
  {
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 3);
    CHECK(flat(ran.out + ran.err).find("line 2 matches") != std::string::npos);
    CHECK_FALSE(sophon.status()["downtime"].empty());
    CHECK((ran.out + ran.err).find(sophon.password) == std::string::npos);
  }
  sophon.is_as_before();

  // Killed on the way: before the stop, the pin and the start.
  CHECK(killed_when(sophon, sophon.words("1.2.0"), "stop", "started"));
  CHECK(killed_when(sophon, {"resume"}, "pin", "started"));
  CHECK(killed_when(sophon, {"resume"}, "sophon", "started"));
  ran = sophon.relight({"resume"});
  {
    INFO(ran.out, ran.err);
    REQUIRE(ran.exit == 0);
  }
  CHECK(sophon.version() == "1.2.0");
  CHECK(sophon.sql("select string_agg(title, ' ' order by title) from notes where not pinned") == "one two");
  std::string wanted = sophon.text();
  for (std::size_t at; (at = wanted.find(":1.1.0")) != std::string::npos;) wanted.replace(at, 6, ":1.2.0");
  CHECK(sophon.read("compose.yml") == wanted);
  const Ran verified =
      sophon.relight({"verify", sophon.file("backup-1.2.0"), "--passphrase-file", sophon.file("passphrase")});
  CHECK_MESSAGE(verified.exit == 0, (verified.out + verified.err));

  // By hand, hours later; what was kept has been removed, and the backup stands in.
  sophon.lose_copies();
  CHECK(killed_when(sophon, {"rollback", "--yes"}, "pin", "undoing"));
  ran = sophon.relight({"rollback", "--yes"});
  {
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
  }
  sophon.is_as_before();

  // The dump goes back into the container, and out of it again.
  sophon.sql("drop table notes");
  sophon.write("restore.lua",
               "runbook \"restore\" {}\npostgres.restore \"database\" { dump = \"" +
                   sophon.file("backup-1.2.0/sophon.dump") +
                   "\", database = \"sophon\", server = \"user=sophon\", password = secret.file \"" +
                   sophon.file("password") + "\", via = compose{ file = \"" + sophon.file("compose.yml") +
                   "\", project = \"" + sophon.project + "\", service = \"postgres\" } }\n");
  ran = sophon.relight({"run", sophon.file("restore.lua"), "--yes"});
  {
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 0);
  }
  sophon.is_as_before();
  ran = sophon.relight({"rollback", "--yes"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(sophon.sql("select count(*) from information_schema.columns where table_name = 'notes'") == "0");
}
