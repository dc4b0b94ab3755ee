// The ready runbooks load, and put their steps in the order that a recovery needs.
#include <doctest/doctest.h>

#include <algorithm>

#include "runner/lang/evaluate.h"
#include "runner/plan/plan.h"
#include "runner/sys/json_whole.h"

using namespace relight;

namespace {

const std::string aihummer = RELIGHT_SOURCE_DIR "/runbooks/aihummer/rebuild.lua";
const std::string ember = RELIGHT_SOURCE_DIR "/examples/ember/rebuild.lua";

Plan plan_of(const std::string& runbook, std::map<std::string, std::string> inputs) {
  inputs.insert({{"version", "1.0.0"}, {"backup", "/backup"}, {"keys", "file:/media/keys"}});
  lang::Given given;
  given.set = inputs;
  return lang::evaluate({.runbook_path = runbook, .given = given, .types = step_table()}).plan;
}

std::vector<std::string> types_of(const Plan& plan) {
  std::vector<std::string> types;
  for (auto& step : plan.steps) types.push_back(step.type);
  return types;
}

// By itself, or through the steps that it waits for.
bool waits_for(const Plan& plan, const std::string& step, const std::string& other) {
  auto& after = plan.find(step)->after;
  return std::any_of(after.begin(), after.end(),
                     [&](const std::string& one) { return one == other || waits_for(plan, one, other); });
}

}  // namespace

TEST_CASE("the rebuild of an AiHummer host by WAL has the documented order") {
  Plan plan = plan_of(aihummer, {{"blobs", "/srv/blobs"}});
  CHECK(types_of(plan) ==
        std::vector<std::string>{"approve", "host.packages", "host.directory", "host.directory",
                                 "service.stop", "release.pin", "host.file", "key.restore", "service.stop",
                                 "postgres.recover", "service.start", "blobs.restore", "key.prove",
                                 "service.start", "probe.http", "probe.http", "probe.command"});
  CHECK((*plan.find("database")->params)["to"] == "latest");
  CHECK((*plan.find("database")->params)["base"] == "/backup/base");
  CHECK((*plan.find("vault")->params)["database"] == Json{{"$output", {"database", "url"}}});
}

TEST_CASE("blobs come back beside the database, and the key is proved after both") {
  for (const char* by : {"wal", "dump"}) {
    Plan plan = plan_of(ember, {{"by", by}});
    CHECK(waits_for(plan, "blobs", "keys"));
    CHECK_FALSE(waits_for(plan, "blobs", "database"));
    CHECK(waits_for(plan, "vault", "database"));
    CHECK(waits_for(plan, "vault", "blobs"));
    CHECK(waits_for(plan, "ember", "vault"));
  }
}

TEST_CASE("by the daily dump the server runs before its database is restored") {
  for (auto& [runbook, name] : {std::pair{aihummer, "aihummer"}, std::pair{ember, "ember"}}) {
    Plan plan = plan_of(runbook, {{"by", "dump"}});
    CHECK(plan.find("database")->type == "postgres.restore");
    CHECK((*plan.find("database")->params)["dump"] == "/backup/" + std::string(name) + ".dump");
    CHECK(waits_for(plan, "database", "postgresql"));
    CHECK(waits_for(plan, "postgresql", "cluster"));
    CHECK(waits_for(plan, "database", "role"));
    CHECK_FALSE(plan.budget.rpo);
    CHECK(plan_of(runbook, {}).budget.rpo);
  }
}

TEST_CASE("a service that does not run as root gets its user, and what it owns") {
  Plan plan = plan_of(aihummer, {{"blobs", "/srv/blobs"}, {"user", "hummer"}});
  for (const char* step : {"keys", "blobs"}) {
    CHECK((*plan.find(step)->params)["owner"] == "hummer");
    CHECK(waits_for(plan, step, "user"));
  }
  CHECK(waits_for(plan, "aihummer", "user"));
  CHECK(plan_of(aihummer, {}).find("user") == nullptr);
}

TEST_CASE("without media an AiHummer has no blobs to restore") {
  Plan plan = plan_of(aihummer, {});
  CHECK(plan.find("blobs") == nullptr);
  CHECK(plan.find("vault") != nullptr);
}

TEST_CASE("a rebuild by WAL ends with a base backup of the new timeline") {
  for (const std::string& runbook : {aihummer, ember}) {
    const Plan plan = plan_of(runbook, {{"anew", "/new"}});
    CHECK(plan.steps.back().type == "postgres.base_backup");
    CHECK((*plan.find("protect")->params)["into"] == "/new/base");
    CHECK((*plan.find("protect")->params)["server"] == Json{{"$output", {"database", "url"}}});
    CHECK((*plan.find("database")->params)["archive_into"] == "/new/wal");
    CHECK(waits_for(plan, "database", "anew"));
    CHECK(waits_for(plan, "protect", "ready"));
    CHECK(plan_of(runbook, {}).find("protect") == nullptr);
    CHECK(plan_of(runbook, {{"anew", "/new"}, {"by", "dump"}}).find("protect") == nullptr);
  }
}
