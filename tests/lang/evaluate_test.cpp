#include "runner/lang/evaluate.h"

#include <doctest/doctest.h>

#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "tests/support/runbook.h"

using namespace relight;

namespace {

const char* const design_example = R"lua(
-- Rebuild a lost AiHummer host: key, database to a moment, blobs, services, probes.
runbook "aihummer-rebuild" { budget = { rto = "30m", rpo = "5m" } }

local input = inputs {
  version    = { doc = "version the backup was made with", example = "1.4.2" },
  backup     = { doc = "folder or URL of the recovery set", type = "location" },
  keys       = { doc = "env file with the master key and the media secret, kept apart from the backup", type = "secret" },
  blobs      = { doc = "AIHUMMER_BLOB_DIR, if media is in use", type = "path", optional = true },
  recover_to = { doc = "moment to recover to", type = "moment", default = "latest" },
  lost_at    = { doc = "when the host was lost, if known", type = "time", optional = true },
}

approve "fenced" { prompt = "Is the old host off, or cut from the network?" }

host.packages "packages" { install = { ["postgresql-15"] = "15.*" } }
service.stop  "stop"     { unit = "aihummer" }

local pinned = release.pin "release" {
  product = "aihummer",  version = input.version,
  from = input.backup / "releases",  into = "/opt/aihummer",
}

host.file "unit" { from = input.backup / "aihummer.service",  into = "/etc/systemd/system/aihummer.service" }

key.restore "keys" {
  from = input.keys,  into = "/etc/aihummer/env",  other = input.backup / "env",  -- the lines that are not secret
  variables = { "AIHUMMER_MASTER_KEY", "AIHUMMER_MEDIA_TOKEN_SECRET" },
  fingerprints = input.backup / "backup.json",
}

local db = postgres.recover "database" {
  base = input.backup / "base",  wal = { input.backup / "wal" },  to = input.recover_to,  lost_at = input.lost_at,
  data = "/var/lib/postgresql/15/main",  config = input.backup / "etc-postgresql",  database = "aihummer",
  as = "postgres",  timeout = "25m",
}

if input.blobs then  -- while the database recovers: needs the keys and what they wait for
  blobs.restore "blobs" { from = input.backup / "blobs.tar.zst",  into = input.blobs,  after = { "keys" } }
end

service.start "postgresql" { unit = "postgresql@15-main" }
key.prove "vault" {
  database = db.url,  as = "postgres",  sql = "select sealed from vault",  rows = 100,
  key = input.keys,  variable = "AIHUMMER_MASTER_KEY",
}
local app = service.start "aihummer" { unit = "aihummer", version = pinned.version }

probe.http    "ready"  { service = app.identity, url = "http://127.0.0.1:8080/readyz", within = "2m", hold = "20s" }
probe.http    "health" { url = "http://127.0.0.1:8080/api/health", expect = { status = 200, json = { status = "ok" } } }
probe.command "smoke"  { command = { "/opt/aihummer/current/deploy/host/smoke.sh" } }
)lua";

Runbook design() {
  Runbook runbook(design_example);
  runbook.set("version", "1.4.2").set("backup", "/srv/backup/").set("keys", "file:/root/keys.env");
  return runbook;
}

}  // namespace

TEST_CASE("the design's example is a plan, in order and with its values") {
  Runbook runbook = design();
  CHECK(runbook.refusal() == "");
  runbook.set("blobs", "/srv/blobs");
  const Plan plan = runbook.plan();
  CHECK(plan.runbook == "aihummer-rebuild");
  CHECK(plan.file == "test.lua");
  CHECK(plan.budget.rto->count() == 30 * 60 * 1000);
  REQUIRE(plan.steps.size() == 14);
  CHECK((*plan.inputs)["keys"] == Json::parse(R"({"$secret": {"file": "/root/keys.env"}})"));
  CHECK_FALSE(plan.inputs->contains("lost_at"));

  const PlannedStep& database = *plan.find("database");
  CHECK(database.line == 32);
  CHECK(database.as == "postgres");
  CHECK(database.timeout.count() == 25 * 60 * 1000);
  CHECK((*database.params)["base"] == "/srv/backup/base");
  CHECK((*database.params)["wal"] == Json::parse(R"(["/srv/backup/wal"])"));
  CHECK_FALSE(database.params->contains("lost_at"));
  CHECK(database.after == std::vector<std::string>{"keys"});
  CHECK(plan.find("blobs")->after == std::vector<std::string>{"keys"});
  CHECK(plan.find("postgresql")->after == std::vector<std::string>{"database", "blobs"});
  CHECK((*plan.find("vault")->params)["database"] == Json::parse(R"({"$output": ["database", "url"]})"));
}

TEST_CASE("the same runbook and inputs give the same digest in a hundred processes") {
  const Runbook runbook = design();
  const std::string digest = runbook.plan().digest;
  CHECK(digest.size() == 64);
  for (int i = 1; i < 100; ++i) REQUIRE(runbook.plan().digest == digest);
  Runbook other = design();
  other.set("version", "1.4.3");
  CHECK(other.plan().digest != digest);
}

TEST_CASE("an evaluation ends at its bounds, with the line that it was at") {
  const auto refusal = [](const std::string& text) {
    Runbook runbook("runbook \"t\" {}\n" + text);
    runbook.limits.cpu_seconds = 1;
    runbook.limits.instructions = 20'000'000;
    runbook.limits.memory = 64u << 20;
    return runbook.refusal();
  };
  CHECK(refusal("\nwhile true do end") ==
        "test.lua:3: it has run 20 million instructions without an end | is there a loop that never ends? "
        "what takes work "
        "belongs into a step");
  const std::string memory =
      "it needs more than 64 MiB of memory | is there a text or a table that grows without an end?";
  CHECK(refusal("local s = string.rep(\"x\", 1e9)") == "test.lua:2: " + memory);
  CHECK(refusal("local s = \"x\"\nwhile true do s = s .. s end") == "test.lua:3: " + memory);
  CHECK(refusal("local t = {}\nfor i = 1, 1e9 do t[i] = {} end") == "test.lua:3: " + memory);
  CHECK(refusal("string.find(string.rep(\"a\", 100000), \".-.-.-.-b\")") ==
        "test.lua:2: it has taken 1 s of processor time without an end | is there a loop that never ends, or "
        "a pattern with many "
        "stars? what takes work belongs into a step");
}

TEST_CASE("faults of two runbooks in one process do not mix, and a good one follows a bad one") {
  CHECK(Runbook("runbook \"t\" {}\nx = 1").refusal() != "");
  CHECK(Runbook("runbook \"t\" {}").evaluate().warnings ==
        std::vector<std::string>{"test.lua: the runbook has no step: it does nothing"});
  Runbook waived("runbook \"t\" {}\nshell.run \"a\" { command = { \"a\" }, on_failure = \"continue\" }");
  CHECK(waived.evaluate().warnings ==
        std::vector<std::string>{
            "test.lua:2: step \"a\": on_failure = \"continue\" without waive = \"reason\": where it fails, "
            "the run ends with 7"});
}

TEST_CASE("a refusal is one Error: refused, at FILE:LINE, with all that was found") {
  try {
    Runbook("runbook \"t\" {}\nshell.run \"a\" {}\nshell.run \"b\" {}").evaluate();
    FAIL("it was not refused");
  } catch (const lang::RunbookError& error) {
    CHECK(error.kind == ErrorKind::refused);
    CHECK(error.on == "test.lua:2");
    CHECK(error.why == "step \"a\": `command` is missing");
    CHECK(error.hint == "write command = { \"/bin/true\" }");
    REQUIRE(error.faults().size() == 2);
    CHECK(std::string(error.what()) ==
          "test.lua:2: step \"a\": `command` is missing\ntest.lua:3: step \"b\": `command` is missing");
  }
}

TEST_CASE("a thousand steps are one plan, each after the one above it") {
  std::string text = "runbook \"t\" {}\n";
  for (int i = 0; i < 1000; ++i)
    text += "shell.run \"step-" + std::to_string(i) + "\" { command = { \"/bin/true\" } }\n";
  const Plan plan = Runbook(text).plan();
  REQUIRE(plan.steps.size() == 1000);
  CHECK(plan.steps[999].after == std::vector<std::string>{"step-998"});
}
