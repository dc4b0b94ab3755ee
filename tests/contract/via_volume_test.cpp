// The contract of PostgreSQL's steps that make the volume of a service.
#include <doctest/doctest.h>

#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/docker_postgres.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

const Source& source() {
  static Source source;
  static const bool lived = (source.insert(1), source.server.archive_now(), true);
  static_cast<void>(lived);
  return source;
}

// Into a folder of this host that a stopped container has.
struct IntoVolume : Fixture {
  IntoVolume() : bench_(path("pg") + ":/var/lib/pg") {
    sys::make_folders(path("pg/data"));
    write("pg/data/PG_VERSION", "15\n");
    sys::Command give;
    give.argv = {"chown", "-R", "999:999", path("pg/data")};
    sys::output_of(give, "cannot prepare a test");
    add_neighbours(path("pg"));
    bench_.make();
  }
  std::vector<std::string> busy() const override { return {"pg"}; }
  bool digest_is_dear() const override { return true; }
  std::string steady_digest(const std::string&) const override { return ""; }
  // Of a cluster that is made no file is the same twice.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    if (!exact && sys::exists(path("pg/data/base"))) {
      std::erase_if(look, [](const auto& one) { return one.first.starts_with("pg/data"); });
      look["pg/data"] = "made";
    }
    look["containers"] = DockerEngine::get()->docker({"ps", "-a", "-q", "--filter", "label=relight.step"});
    return look;
  }

 protected:
  Json with_via(Json more) const {
    more["via"] = Json::parse(bench_.via("db"));
    more["replace"] = true;
    return more;
  }
  const PostgresInDocker bench_;
};

struct Recover : IntoVolume {
  Recover() { static_cast<void>(source()); }
  Json params() const override {
    return with_via({{"base", source().base}, {"wal", {source().server.archive_folder()}}});
  }
};

// In a folder of this host, served by the image.
struct Copy : Recover {
  Copy() { sys::make_folders(path("srv")); }
  std::vector<std::string> busy() const override { return {"pg", "srv"}; }
  Json params() const override {
    Json params = Recover::params();
    params.update({{"action", "pause"}, {"data", copy()}});
    return params;
  }
  void put_away() const override { end_copy(copy()); }
  Look look(bool exact) const override {
    Look look = IntoVolume::look(exact);
    std::erase_if(look, [](const auto& one) { return one.first.starts_with("srv/copy"); });
    if (sys::exists(copy())) look["copy"] = server_of_copy(copy(), exact);
    look["copies"] = std::to_string(
        sys::split(
            DockerEngine::get()->docker({"ps", "-a", "-q", "--filter", "label=relight.copy=" + copy()}), '\n')
            .size());
    return look;
  }

 private:
  std::string copy() const { return path("srv/copy"); }
};

struct Load : IntoVolume {
  Load() { write("ember.sql", "create table notes (i int);\ninsert into notes values (1), (2), (3);\n"); }
  Json params() const override {
    return with_via({{"dump", path("ember.sql")},
                     {"database", "ember"},
                     {"role", "app"},
                     {"password", {{"$secret", {{"file", bench_.password_file()}}}}}});
  }
  std::vector<std::string> secrets() const override { return {bench_.password}; }
  Json steady(Json outputs) const override {
    outputs.erase("bytes");
    outputs.erase("system_identifier");
    return outputs;
  }
};

const PostgresInDocker& primary() {
  static const PostgresInDocker primary;
  static const bool up = (primary.up(), true);
  static_cast<void>(up);
  return primary;
}

struct Standby : IntoVolume {
  Json params() const override {
    return with_via({{"server", "host=" + address_ + " user=app"}, {"password", password_}});
  }
  std::vector<std::string> secrets() const override { return {primary().password}; }

 private:
  // A child has no engine to ask.
  const std::string address_ = primary().address();
  const Json password_ = primary().reached()["password"];
};

// A container is started for nearly each of their programs.
const Subjects volumes{
    {"postgres.recover", "in a volume", [] { return std::make_unique<Recover>(); }, 400, true},
    {"postgres.recover", "a copy in an image", [] { return std::make_unique<Copy>(); }, 400, true},
    {"postgres.load", "in a volume", [] { return std::make_unique<Load>(); }, 400, true},
    {"postgres.standby", "in a volume", [] { return std::make_unique<Standby>(); }, 400, true},
};

}  // namespace

TEST_CASE("the contract of postgres.recover in a volume") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  check_contract("postgres.recover, in a volume", true);
}

TEST_CASE("the contract of postgres.recover, a copy in an image") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  check_contract("postgres.recover, a copy in an image", true);
}

TEST_CASE("the contract of postgres.load in a volume") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  check_contract("postgres.load, in a volume", true);
}

TEST_CASE("the contract of postgres.standby in a volume") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  check_contract("postgres.standby, in a volume", true);
}
