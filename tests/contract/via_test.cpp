// The contract of PostgreSQL's steps on a server in a container.
#include <doctest/doctest.h>

#include "runner/sys/sql.h"
#include "runner/sys/text.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/docker_postgres.h"

using namespace relight;

namespace {

// One server for all cases.
const PostgresInDocker& bench() {
  static const PostgresInDocker bench;
  static const bool up = [] {
    bench.up();
    bench.sql("create database contract_old");
    bench.sql("create table notes as select i, 'note ' || i as body from generate_series(1, 200) i",
              "contract_old");
    return true;
  }();
  static_cast<void>(up);
  return bench;
}

struct OnServer : Fixture {
  OnServer() {
    for (const std::string& name : databases()) {
      bench().sql("alter database \"" + name + "\" is_template false");
      bench().sql("drop database \"" + name + "\" with (force)");
    }
    bench().sql("create database ember template contract_old");
    add_neighbours(path("backup"));
  }
  std::vector<std::string> busy() const override { return {"backup"}; }
  bool digest_is_dear() const override { return true; }
  std::string steady_digest(const std::string&) const override { return ""; }
  std::vector<std::string> secrets() const override { return {bench().password}; }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    for (const std::string& name : databases())
      look["database " + name] = bench().sql("select count(*) from notes", name);
    look["containers"] = DockerEngine::get()->docker({"ps", "-a", "-q", "--filter", "label=relight.step"});
    return look;
  }

 protected:
  static Json with_server(Json more) {
    more.update(bench().reached());
    return more;
  }

 private:
  static std::vector<std::string> databases() {
    std::vector<std::string> names;
    for (const std::string& name : sys::split(
             bench().sql("select datname from pg_database where datname ~ '^ember|relight' order by 1"),
             '\n'))
      if (!name.empty()) names.push_back(name);
    return names;
  }
};

struct Dump : OnServer {
  Json params() const override {
    return with_server({{"database", "ember"}, {"into", path("backup/ember.dump")}});
  }
  void forget_what_stays(Look& look) const override { look.erase("backup/ember.dump"); }
  Look look(bool exact) const override {
    Look look = OnServer::look(exact);
    if (const auto dump = look.find("backup/ember.dump"); dump != look.end() && !exact)
      dump->second = dump->second.find("user.relight") == std::string::npos ? "there" : "there, marked";
    return look;
  }
  Json steady(Json outputs) const override {
    for (const char* name : {"lsn", "taken_at", "bytes"}) outputs.erase(name);
    return outputs;
  }
};

struct Restore : OnServer {
  Restore() { write("ember.sql", "create table notes (i int);\ninsert into notes values (1), (2), (3);\n"); }
  Json params() const override { return with_server({{"database", "ember"}, {"dump", path("ember.sql")}}); }
  Json steady(Json outputs) const override {
    outputs.erase("bytes");
    return outputs;
  }
};

// What an undo has put aside lies under a hidden name.
struct Keep : OnServer {
  Json params() const override { return with_server({{"database", "ember"}}); }
  void forget_what_stays(Look& look) const override {
    std::erase_if(look, [](const auto& entry) { return entry.first.find("relight") != std::string::npos; });
  }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look["ember"] = bench().sql("select count(*) from notes", "ember");
    return look;
  }
  Json steady(Json) const override { return Json::object(); }
};

// Each case starts several containers: all is tried by one chain.
const Subjects via{
    {"postgres.dump", "in a container", [] { return std::make_unique<Dump>(); }, 400, true},
    {"postgres.restore", "in a container", [] { return std::make_unique<Restore>(); }, 400, true},
    {"postgres.keep", "in a container", [] { return std::make_unique<Keep>(); }, 400, true},
};

}  // namespace

TEST_CASE("the contract of the steps on a server in a container") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  for (const char* type : {"postgres.dump", "postgres.restore", "postgres.keep"})
    check_contract(type + std::string(", in a container"), true);
}
