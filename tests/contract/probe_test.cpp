#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/http_server.h"
#include "tests/support/port.h"
#include "tests/support/postgres.h"

using namespace relight;

namespace {

struct Answers : Fixture {
  Answers() { add_neighbours(path("srv")); }
  Json steady(Json outputs) const override {
    outputs.erase("took");
    return outputs;
  }

 protected:
  const int port_ = free_port();
  const HttpServer server_{port_, [](auto&, auto&, auto&, auto&) { return HttpReply{200, "ok"}; }};
};

struct Http : Answers {
  Json params() const override { return {{"url", "http://127.0.0.1:" + std::to_string(port_) + "/health"}}; }
};

struct Tcp : Answers {
  Json params() const override { return {{"port", port_}}; }
};

struct Logs : Fixture {
  Logs() {
    add_neighbours(path("srv"));
    write("log", "starts\nready\n");
  }
  Json params() const override {
    return {{"log", path("log")}, {"must_not", {"(?i)failed"}}, {"must", {"ready"}}};
  }
  Json steady(Json outputs) const override {
    outputs.erase("took");
    return outputs;
  }
};

struct Command : Fixture {
  Command() {
    add_neighbours(path("srv"));
    write("secret", marker, 0600);
  }
  Json params() const override {
    return {{"command", {"sh", "-c", "test -e neighbour && test -n \"$KEY\""}},
            {"cwd", path("srv")},
            {"within", "10s"},
            {"env", {{"KEY", {{"$secret", {{"file", path("secret")}}}}}}}};
  }
  std::vector<std::string> secrets() const override { return {marker}; }
  const std::string marker = "hunter2/of:a+marker";
};

const std::string key(32, 'k');

const Postgres& server() {
  static const Postgres postgres;
  static const bool made =
      (postgres.execute("create table vault (sealed bytea); insert into vault values ('\\x" +
                        sys::to_hex(sys::seal_aes_256_gcm(key, "v", "")) + "')"),
       true);
  static_cast<void>(made);
  return postgres;
}

// A database that is asked: nothing of it may change, not even by an aborted transaction's number.
struct Asked : Fixture {
  Asked() { server(); }
  Json steady(Json outputs) const override {
    outputs.erase("took");
    return outputs;
  }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look["rows"] = server().value("select count(*) from vault");
    if (exact) look["next transaction"] = server().value("select pg_snapshot_xmax(pg_current_snapshot())");
    return look;
  }
};

struct Sql : Asked {
  Json params() const override {
    return {
        {"database", server().conninfo()}, {"sql", "select count(*) from vault"}, {"expect", {{"value", 1}}}};
  }
};

struct Check : Asked {
  Json params() const override { return {{"database", server().conninfo()}}; }
};

struct Prove : Asked {
  Prove() { write("env", "MASTER=" + sys::to_base64(key) + "\n", 0600); }
  Json params() const override {
    return {{"database", server().url()},
            {"sql", "select sealed from vault"},
            {"key", {{"$secret", {{"file", path("env")}}}}},
            {"variable", "MASTER"}};
  }
  std::vector<std::string> secrets() const override { return {key, sys::to_base64(key)}; }
};

const Subjects probes{
    subject<Logs>("probe.logs", "a file"),
    subject<Http>("probe.http", "a server that answers"),
    subject<Tcp>("probe.tcp", "a server that listens"),
    subject<Command>("probe.command", "a program"),
    subject<Sql>("probe.sql", "a database"),
    subject<Prove>("key.prove", "a sealed value"),
    subject<Check>("postgres.check", "a sound database"),
};

}  // namespace

TEST_CASE("the contract of the probes") {
  check_contract("probe.");
  check_contract("key.prove");
  check_contract("postgres.check");
}
