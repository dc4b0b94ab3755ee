#include "tests/support/docker_postgres.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

constexpr const char* bin = "/usr/lib/postgresql/15/bin/";

void compose(const PostgresInDocker& bench, std::vector<std::string> arguments) {
  sys::Command command;
  command.argv = {"docker", "compose"};
  sys::Command asked = command;
  asked.argv.emplace_back("version");
  if (!sys::run(asked).ok()) command.argv = {"docker-compose"};
  command.argv.insert(command.argv.end(), {"-f", bench.file(), "-p", bench.project()});
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  sys::output_of(command, "cannot prepare a test");
}

}  // namespace

void add_programs(const std::string& folder, const std::vector<std::string>& programs) {
  sys::Command copy;
  copy.argv = {"sh", "-ec",
               "to=$1; shift; for p in \"$@\"; do for f in \"$p\" $(ldd \"$p\" | grep -o '/[^ ]*'); do "
               "mkdir -p \"$to$(dirname $f)\"; cp -Ln $f \"$to$f\" || true; done; done",
               "-", folder};
  copy.argv.insert(copy.argv.end(), programs.begin(), programs.end());
  sys::output_of(copy, "cannot prepare a test");
}

void make_postgres_image(const DockerEngine& engine, const std::string& name) {
  const sys::TempFolder folder("/var/tmp");
  const std::string lib = "/usr/lib/postgresql/15/lib/", share = "/usr/share/postgresql/15",
                    to = folder.path();
  std::vector<std::string> programs = {lib + "plpgsql.so", lib + "dict_snowball.so", lib + "amcheck.so",
                                       lib + "libpqwalreceiver.so"};
  for (const char* program : {"postgres", "initdb", "psql", "pg_dump", "pg_dumpall", "pg_restore",
                              "pg_basebackup", "pg_controldata", "pg_waldump", "pg_ctl", "vacuumdb"})
    programs.push_back(std::string(bin) + program);
  add_programs(to, programs);
  sys::make_folders(to + "/etc");
  sys::write_file(to + "/etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n", 0644);
  sys::write_file(to + "/start",
                  "cd /tmp\n"
                  "if [ ! -e $PGDATA/PG_VERSION ]; then\n"
                  "  echo $PASSWORD >/tmp/pw\n"
                  "  initdb -D $PGDATA -U $ROLE -A trust --auth-host=scram-sha-256 --pwfile=/tmp/pw "
                  "--locale=C -E UTF8 --no-sync\n"
                  "  echo 'host all all all scram-sha-256' >>$PGDATA/pg_hba.conf\n"
                  "  echo 'host replication all all scram-sha-256' >>$PGDATA/pg_hba.conf\nfi\n"
                  "exec postgres -D $PGDATA -c listen_addresses='*' -c unix_socket_directories=/tmp "
                  "-c fsync=off -c port=5432 -c archive_mode=off\n",
                  0755);
  sys::Command rest;
  rest.argv = {"sh",
               "-ec",
               "mkdir -p $1$2 $1/var/lib/pg/data $1/usr/share/zoneinfo; cp -r $2/. $1$2; "
               "mkdir -p $1/usr/lib/locale; cp -r /usr/lib/locale/C.utf8 $1/usr/lib/locale; "
               "cp -rL /usr/share/zoneinfo/UTC /usr/share/zoneinfo/Etc $1/usr/share/zoneinfo; chown -R "
               "999:999 $1/var/lib/pg",
               "-",
               to,
               share};
  sys::output_of(rest, "cannot prepare a test");
  engine.make_image(name, to, "[\"/bin/sh\", \"/start\"]",
                    {"ENV PATH=/bin:/usr/lib/postgresql/15/bin", "ENV PGDATA=/var/lib/pg/data", "USER 999"});
}

PostgresInDocker::PostgresInDocker(const std::string& volume) : ComposeBench("") {
  static const bool made = (make_postgres_image(*DockerEngine::get(), "relight-postgres:15"), true);
  static_cast<void>(made);
  write("services:\n  db:\n    image: relight-postgres:15\n    environment: {ROLE: app, PASSWORD: \"" +
        password + "\"}\n    volumes: [\"" + volume + "\"]\nvolumes: {data: {}}\n");
  sys::write_file(password_file(), password + "\n", 0600);
}

PostgresInDocker::~PostgresInDocker() {
  forget_project(project());
}

void PostgresInDocker::up() const {
  compose(*this, {"up", "-d"});
  const bool answers = sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(100), {},
                                       [&] { return sql("select 1") == "1"; });
  sys::Command logs;
  logs.argv = {"sh", "-c", "docker logs \"$1\" 2>&1", "-", container()};
  REQUIRE_MESSAGE(answers, sys::run(logs).out);
}

void PostgresInDocker::make() const {
  compose(*this, {"up", "--no-start"});
}

void PostgresInDocker::stop() const {
  compose(*this, {"stop"});
}

std::string PostgresInDocker::container() const {
  return DockerEngine::get()->docker(
      {"ps", "-a", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project=" + project()});
}

std::string PostgresInDocker::address() const {
  return DockerEngine::get()->docker(
      {"inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container()});
}

std::string PostgresInDocker::volume() const {
  return DockerEngine::get()->docker(
      {"volume", "inspect", "--format", "{{.Mountpoint}}", project() + "_data"});
}

std::string PostgresInDocker::sql(const std::string& text, const std::string& database) const {
  sys::Command command;
  command.argv = {"docker", "exec", container(), "psql",   "-h",    "/tmp",
                  "-U",     "app",  "-d",        database, "-qAtc", text};
  return sys::trim(sys::run(command).out);
}

Json PostgresInDocker::reached() const {
  return {{"via", Json::parse(via("db"))},
          {"server", "user=app"},
          {"password", {{"$secret", {{"file", password_file()}}}}}};
}

}  // namespace relight
