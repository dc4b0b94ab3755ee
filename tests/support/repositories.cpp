#include "tests/support/repositories.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <filesystem>

#include "runner/sys/process.h"

namespace relight {
namespace {

std::string in_memory() {
  work_in_memory();
  return "";
}

std::string as_postgres(const std::string& script) {
  sys::Command command;
  command.argv = {"/bin/bash", "-ec", script + " 2>&1"};
  command.cwd = "/";
  command.as = "postgres";
  const sys::Result result = sys::run(command);
  INFO(script << "\n" << result.out);
  REQUIRE(result.ok());
  return result.out;
}

}  // namespace

PostgresFolder::PostgresFolder() : sys::TempFolder(in_memory()) {
  give_to_postgres(path());
}

Repos::Repos()
    : server(
          {.archive = true,
           .initdb = {"--wal-segsize=1"},
           .settings = {{"archive_command", "'" + backrest("archive-push %p") + " && cp %p " + folder.path() +
                                                "/barman/main/incoming/%f && cp %p ../archive/%f'"}}}) {
  as_postgres(fmt::format(
      "cd {0}; mkdir -p repo repo2 ts barman/main/incoming\n"
      "cat >backrest.conf <<'END'\n"
      "[global]\nrepo1-path={0}/repo\nrepo2-path={0}/repo2\nrepo2-cipher-type=aes-256-cbc\n"
      "repo2-cipher-pass=not-to-be-told\nspool-path={0}/spool\nlock-path={0}/lock\nlog-path={0}/log\n"
      "compress-type=zst\nlog-level-file=off\nlog-level-console=error\nlog-level-stderr=off\n"
      "start-fast=y\n[main]\npg1-path={1}\npg1-port={2}\npg1-socket-path={3}\npg1-user=postgres\nEND\n"
      "cat >barman.conf <<'END'\n"
      "[barman]\nbarman_user=postgres\nbarman_home={0}/barman\nconfiguration_files_directory={0}/none\n"
      "log_file={0}/barman.log\n[main]\ndescription=main\n"
      "conninfo=host={3} port={2} user=postgres dbname=postgres\nstreaming_conninfo=host={3} port={2} "
      "user=postgres\nbackup_method=postgres\narchiver=on\ncompression=gzip\n"
      "path_prefix=/usr/lib/postgresql/15/bin\nEND\n"
      "{4}",
      folder.path(), server.data(), server.port(), server.socket_folder(), backrest("stanza-create")));
  server.execute("create tablespace fast location '" + path("ts") + "'");
  server.execute("create table t (i int); create table f (i int) tablespace fast");
  server.execute("insert into f values (10)");
  insert(1);
  server.archive_now();
  barman("archive-wal main");
  back_up("1");
  insert(2);
  second = server.value(
      "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from "
      "pg_sleep(0.01)");
  insert(3);
  server.archive_now();
  barman("archive-wal main");
  back_up("1");
  as_postgres(backrest("--repo=2 backup"));
  insert(4);
  server.archive_now();
  barman("archive-wal main");  // what comes later stays in its folder `incoming`
  insert(5);
  server.archive_now();
  server.stop();
  for (const std::string& name : sys::names_in(path("repo/backup/main")))
    if (sys::exists(path("repo/backup/main/" + name + "/backup.manifest")) && name != "latest")
      labels.push_back(name);
  REQUIRE(labels.size() == 2);
}

void Repos::insert(int number) const {
  server.execute("insert into t values (" + std::to_string(number) + ")");
}

std::string Repos::backrest(const std::string& arguments) const {
  return "pgbackrest --config=" + path("backrest.conf") + " --stanza=main " + arguments;
}

void Repos::barman(const std::string& arguments) const {
  as_postgres("barman -c " + path("barman.conf") + " " + arguments);
}

void Repos::back_up(const std::string& repo) const {
  as_postgres(backrest("--repo=" + repo + " backup"));
  barman("backup main");
}

Json Repos::wanted(const Json& repository, const std::string& to, const Json& more) const {
  Json json = {{"repository", repository}, {"to", to}};
  json.update(more);
  return json;
}

Json Repos::of_backrest(const Json& more) const {
  Json parts = {{"stanza", "main"}, {"config", path("backrest.conf")}, {"repo", 1}};
  parts.update(more);
  return {{"pgbackrest", parts}};
}

Json Repos::of_barman(const Json& more) const {
  Json parts = {{"server", "main"}, {"config", path("barman.conf")}};
  parts.update(more);
  return {{"barman", parts}};
}

const Repos& repos() {
  static const Repos one;
  return one;
}

std::string told(const Json& params, bool full) {
  const Outcome plan = RecoverAttempt(params).preview(full);
  REQUIRE(plan.error == "");
  return plan.value["summary"].get<std::string>() + plan.value["hints"].dump() +
         plan.value["problems"].dump() + plan.value["mends"].dump();
}

void holds(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
}

Recovered recovered(const Json& params) {
  const RecoverAttempt attempt(params);
  const Outcome done = attempt.apply();
  CAPTURE(params.dump());
  REQUIRE(done.error == "");
  CHECK(sys::read_file(attempt.data() + "/postgresql.auto.conf").find("\nrestore_command") ==
        std::string::npos);
  Recovered found{rows_of(attempt.data()), rows_of(attempt.data(), "f"), ""};
  for (const std::string& oid : sys::names_in(attempt.data() + "/pg_tblspc"))
    found.link = std::filesystem::read_symlink(attempt.data() + "/pg_tblspc/" + oid).string();
  sys::remove_tree(found.link);
  return found;
}

}  // namespace relight
