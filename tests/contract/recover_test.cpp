#include <doctest/doctest.h>

#include <filesystem>

#include "runner/sys/process.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A server with a tablespace of its own that runs all the while, its base backup and archive, and an empty
// cluster to be replaced.
struct Prepared {
  Prepared() {
    sys::make_folders(live);
    give_to_postgres(live);
    source.server.execute("create tablespace fast location '" + live + "'");
    source.server.execute("create table f (i int) tablespace fast; insert into f values (1), (2)");
    std::filesystem::remove_all(source.base);
    source.server.base_backup(source.base, {"--format=tar"});
    source.server.execute("insert into f values (5); insert into t values (7)");
    source.server.execute("vacuum");
    back_up();
    source.server.execute("insert into f values (6)");
    source.server.archive_now();
    source.server.execute("checkpoint");  // it has nothing left to write of its own accord
    give_to_postgres(old.path());
    sys::Command initdb;
    initdb.argv = {Postgres::program("initdb"), "-D", empty(), "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
  }
  // By pgBackRest; the WAL is read from the archive's folder.
  void back_up() {
    source.server.archive_now();
    sys::write_file(backrest(),
                    "[global]\nrepo1-path=" + source.server.folder() + "/repo\nlock-path=" +
                        source.server.folder() + "/lock\nlog-level-file=off\nstart-fast=y\n" +
                        "archive-check=n\n[main]\npg1-path=" + source.server.data() +
                        "\npg1-port=" + std::to_string(source.server.port()) +
                        "\npg1-socket-path=" + source.server.socket_folder() + "\npg1-user=postgres\n",
                    0644);
    for (const char* what : {"stanza-create", "backup"}) {
      sys::Command command;
      command.argv = {"pgbackrest", "--config=" + backrest(), "--stanza=main", what};
      command.as = "postgres";
      command.cwd = "/";
      sys::output_of(command, "cannot run pgbackrest");
    }
  }
  std::string backrest() const { return source.server.folder() + "/backrest.conf"; }
  std::string empty() const { return old.path() + "/data"; }
  Source source;
  std::string live = source.server.folder() + "/fast";
  sys::TempFolder old;
};

const Prepared& prepared() {
  static const Prepared one;
  return one;
}

struct Cluster : Fixture {
  Cluster() {
    for (const char* folder : {"lib/15", "etc/15", "ts", "kept-config"}) sys::make_folders(path(folder));
    sys::copy_tree(prepared().empty(), path("lib/15/main"));
    write("lib/15/main/old", "this is the old one");
    sys::make_folders(path("etc/15/main"));
    write("etc/15/main/postgresql.conf", "# the old one\n");
    write("kept-config/postgresql.conf", "data_directory = '" + path("lib/15/main") + "'\nhba_file = '" +
                                             path("etc/15/main/pg_hba.conf") + "'\nident_file = '" +
                                             path("etc/15/main/pg_ident.conf") + "'\nport = 5544\n" +
                                             "unix_socket_directories = '" + world() + "'\n");
    write("kept-config/pg_hba.conf", "local all all trust\n");
    write("kept-config/pg_ident.conf", "");
    give_to_postgres(world());
    add_neighbours(path("lib/15"));
  }
  std::string as() const override { return "postgres"; }
  Json params() const override {
    return {{"base", prepared().source.base},     {"wal", {prepared().source.server.archive_folder()}},
            {"data", path("lib/15/main")},        {"config", path("kept-config")},
            {"config_into", path("etc/15/main")}, {"tablespaces", {{prepared().live, path("ts/fast")}}}};
  }
  std::vector<std::string> busy() const override { return {"lib/15", "etc/15", "ts"}; }

  // Of a recovered cluster no file is the same twice: its digest tells what it holds. The configuration names
  // folders of this case.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    const bool recovered = !look.contains("lib/15/main/old") && look.contains("lib/15/main");
    if (!exact && recovered)
      std::erase_if(look, [](const auto& one) {
        return one.first.starts_with("lib/15/main") || one.first.starts_with("ts/fast") ||
               one.first.starts_with("etc/15/main") || one.first == "kept-config/postgresql.conf";
      });
    if (!exact && recovered) look["lib/15/main"] = "recovered";
    look["the live tablespace"] = sys::tree_digest(prepared().live);
    return look;
  }
  bool digest_is_dear() const override { return true; }
  std::string steady_digest(const std::string& digest) const override {
    return digest.substr(0, digest.find(' '));
  }
};

// As Cluster, but the base backup comes of a repository, by pgBackRest's own program.
struct OfRepository : Cluster {
  Json params() const override {
    Json params = Cluster::params();
    params.erase("base");
    params["repository"] = {{"pgbackrest", {{"stanza", "main"}, {"config", prepared().backrest()}}}};
    return params;
  }
};

// A paused copy in a folder of its own, beside an empty cluster that must stay as it is.
struct Paused : Fixture {
  Paused() {
    sys::make_folders(path("lib/15"));
    sys::copy_tree(prepared().empty(), path("lib/15/main"));
    give_to_postgres(world());
    add_neighbours(path("lib/15"));
  }
  std::string as() const override { return "postgres"; }
  Json params() const override {
    return {{"base", prepared().source.base},
            {"wal", {prepared().source.server.archive_folder()}},
            {"action", "pause"},
            {"data", path("lib/15/copy")}};
  }
  std::vector<std::string> busy() const override { return {"lib/15"}; }
  void put_away() const override { end_copy(path("lib/15/copy")); }

  // Of the copy its server tells, and which one it is.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    std::erase_if(look, [](const auto& one) { return one.first.starts_with("lib/15/copy"); });
    if (sys::exists(path("lib/15/copy"))) look["lib/15/copy"] = server_of_copy(path("lib/15/copy"), exact);
    look["the live tablespace"] = sys::tree_digest(prepared().live);
    return look;
  }
  bool digest_is_dear() const override { return true; }
};

const Subjects recover{subject<Cluster>("postgres.recover", "with a tablespace and its configuration", 72),
                       subject<OfRepository>("postgres.recover", "of a repository of pgBackRest", 1185),
                       subject<Paused>("postgres.recover", "held as a copy", 72)};

}  // namespace

TEST_CASE("the contract of postgres.recover") {
  check_contract("postgres.recover");
}
