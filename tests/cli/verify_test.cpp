// A recovery set made by a runbook from a real server, verified, damaged, and verified again.
#include <doctest/doctest.h>
#include <unistd.h>

#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/postgres.h"
#include "tests/support/program.h"

using namespace relight;

namespace {

// One server, and one set that was made by a run; each test works on a copy.
struct Made {
  Made() {
    server.execute("create database app");
    server.execute("create table notes as select i, 'note ' || i as body from generate_series(1, 500) i",
                   "app");
    sys::make_folders(bench.file("blobs/3f"));
    bench.write("blobs/3f/one", "one");
    bench.write("blobs/vault.key", "key");
    bench.write("passphrase", passphrase + "\n", 0600);
    bench.write("env", "PORT=1\nMASTER=" + std::string(32, 'm') + "\n", 0600);
    sys::make_folders(bench.file("set"));
    ran = bench.run(R"(
runbook "backup" {}
local input = inputs { server = { doc = "the server" }, dir = { doc = "where", type = "path" } }
local set = input.dir / "set"
local dump = postgres.dump "dump" { database = "app", server = input.server, into = set / "app.dump" }
local base = postgres.base_backup "base" { server = input.server, into = set / "base" }
local packed = blobs.archive "blobs" { from = input.dir / "blobs", into = set / "blobs.tar.zst",
  must_hold = { "vault.key" } }
key.escrow "keys" { key = secret.file(input.dir .. "/env"), variables = { "MASTER" }, set = set,
  into = input.dir / "elsewhere/keys" }
local sealed = backup.seal "seal" { set = set, product = "app", version = "1.0.0",
  database = { name = "app", dump = dump.path, base = base.path, lsn = dump.lsn },
  blobs = { archive = packed.path, manifest = packed.manifest }, passphrase = secret.file(input.dir .. "/passphrase") }
backup.verify "verified" { set = sealed.set, product = "app", version = "1.0.0",
  passphrase = secret.file(input.dir .. "/passphrase") }
)",
                    {"--set", "server=" + server.conninfo(), "--set", "dir=" + bench.path()});
    server.execute("insert into notes select i, 'later' from generate_series(501, 600) i", "app");
    last = server.archive_now();
    sys::Command copy;
    copy.argv = {"cp", "-a", server.archive_folder(), bench.file("set/wal")};
    sys::output_of(copy, "cannot copy the archive");
  }
  const std::string passphrase = "correct horse battery staple";
  Postgres server{{.archive = true}};
  Bench bench;
  Ran ran;
  std::string last;  // WAL segment
};

const Made& made() {
  static const Made one;
  return one;
}

struct Copy {
  Copy() {
    sys::Command copy;
    copy.argv = {"cp", "-a", made().bench.file("set"), path("set")};
    sys::output_of(copy, "cannot copy the set");
  }
  std::string path(const std::string& name) const { return bench.path() + "/" + name; }
  Ran verify(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"verify", path("set")});
    return bench.relight(std::move(more));
  }
  void flip(const std::string& name, double where) const {
    std::string bytes = sys::read_file(path("set/" + name));
    bytes.at(static_cast<std::size_t>(static_cast<double>(bytes.size()) * where)) ^= 1;
    sys::write_file(path("set/" + name), bytes, 0600);
  }
  void broken(const std::string& by, const std::string& words) const {
    const Ran ran = verify();
    INFO(by, ": ", ran.out, ran.err);
    CHECK(ran.exit == 1);
    CHECK(flat(ran.out).find(words) != std::string::npos);
    CHECK(ran.out.find("it would not restore: ") != std::string::npos);
  }
  Bench bench;
};

}  // namespace

TEST_CASE("a run makes a recovery set, and it verifies") {
  const Ran& ran = made().ran;
  INFO(ran.out, ran.err);
  REQUIRE(ran.exit == 0);
  const Json set = sys::parse_json(made().bench.read("set/backup.json"));
  CHECK(set["database"]["dump"] == "app.dump");
  CHECK(set["database"]["base"] == "base");
  CHECK(set["fingerprints"].contains("MASTER"));
  CHECK(set["files"].size() == 5);  // dump, manifest of the base, blobs, theirs, fingerprints
  CHECK(made().bench.read("elsewhere/keys") == "MASTER=" + std::string(32, 'm') + "\n");

  const Copy copy;
  const Ran whole = copy.verify();
  INFO(whole.out, whole.err);
  CHECK(whole.exit == 0);
  for (const char* words :
       {"recovery set of app 1.0.0, sealed 20", "1 table, ", "consistent at 0/", "without a gap", "2 files, ",
        "every hash as in the manifest", "fingerprints of MASTER", "\nit would restore\n"})
    CHECK(whole.out.find(words) != std::string::npos);
  CHECK(copy.verify({"--depth", "quick"}).exit == 0);
  const Json json = sys::parse_json(copy.verify({"--json"}).out);
  CHECK(json["problems"].empty());
  CHECK(json["parts"].size() == 6);
}

TEST_CASE("the passphrase at hand is proved to be the one that the set was sealed with") {
  REQUIRE(made().ran.exit == 0);
  const Copy copy;
  const auto verify = [&](const std::string& text) {
    copy.bench.write("passphrase", text, 0600);
    return copy.verify({"--depth", "quick", "--passphrase-file", copy.path("passphrase")});
  };
  // The file's line end is no part of it, a blank is.
  for (const std::string end : {"", "\n", "\r\n"}) {
    const Ran right = verify(made().passphrase + end);
    INFO(right.out, right.err);
    CHECK(right.exit == 0);
    CHECK(right.out.find("passphrase   the one that the set was made with") != std::string::npos);
  }
  for (const std::string& text : {made().passphrase + " ", std::string("another one"), std::string()}) {
    const Ran wrong = verify(text);
    INFO(wrong.out, wrong.err);
    CHECK(wrong.exit == 1);
    CHECK(flat(wrong.out).find("the wrong passphrase: " + copy.path("set/backup.json") +
                               ": the set was made with another one") != std::string::npos);
  }
  CHECK(flat(copy.verify({"--depth", "quick"}).out).find("the passphrase is not checked") !=
        std::string::npos);
  const Ran none = copy.verify({"--passphrase-file", copy.path("nowhere")});
  CHECK(none.exit == 2);
  CHECK(flat(none.err).find("cannot read a secret: file:" + copy.path("nowhere")) != std::string::npos);

  // A runbook is told in its plan; and nowhere does the passphrase rest.
  verify("a wrong passphrase");
  const Ran planned =
      copy.bench.run(R"(
runbook "look" {}
local input = inputs { dir = { doc = "where", type = "path" }, pass = { doc = "it", type = "secret" } }
backup.verify "verified" { set = input.dir / "set", passphrase = input.pass }
)",
                     {"--set", "dir=" + copy.bench.path(), "--set", "pass=file:" + copy.path("passphrase")});
  CHECK(planned.exit == 2);
  CHECK(flat(planned.out + planned.err).find("the wrong passphrase") != std::string::npos);
  for (const std::string& folder : {made().bench.path(), copy.bench.path()}) {
    sys::Command grep;
    grep.argv = {"grep", "-rlF", "--exclude=passphrase", "-e", made().passphrase, "-e", "a wrong passphrase",
                 folder};
    CHECK(sys::run(grep).out == "");
  }

  // Nothing is proved where nothing is recorded, or what is recorded is damaged.
  Json set = sys::parse_json(copy.bench.read("set/backup.json"));
  CHECK(set["passphrase"]["iterations"] == 600'000);
  set["passphrase"]["hash"] = "12";
  copy.bench.write("set/backup.json", set.dump());
  copy.broken("a damaged check value", "the passphrase cannot be checked");
  set.erase("passphrase");
  copy.bench.write("set/backup.json", set.dump());
  CHECK(copy.verify({"--depth", "quick"}).exit == 0);
  const Ran unrecorded = verify(made().passphrase);
  CHECK(unrecorded.exit == 1);
  CHECK(flat(unrecorded.out).find("it records none") != std::string::npos);
}

TEST_CASE("the release that a set brings is what was released, and of the set's version") {
  const Copy copy;
  const auto shell = [&](const std::string& line) {
    sys::Command command;
    command.argv = {"/bin/sh", "-ec", line};
    command.cwd = copy.path("set");
    sys::output_of(command, "cannot make a release");
  };
  shell(
      "mkdir -p releases tree/bin; echo app >tree/bin/app; tar -C tree -czf releases/app-1.0.0.tar.gz .; rm "
      "-r tree");
  const Ran unlisted = copy.verify();
  INFO(unlisted.out, unlisted.err);
  CHECK(unlisted.exit == 0);
  CHECK(flat(unlisted.out).find("app-1.0.0.tar.gz is taken as it is: no SHA256SUMS lists it") !=
        std::string::npos);

  shell("cd releases; sha256sum app-1.0.0.tar.gz >SHA256SUMS");
  const Ran whole = copy.verify();
  INFO(whole.out, whole.err);
  CHECK(whole.exit == 0);
  CHECK(flat(whole.out).find("every hash as SHA256SUMS has it") != std::string::npos);
  CHECK(flat(copy.verify({"--depth", "quick"}).out).find("listed in SHA256SUMS") != std::string::npos);

  copy.flip("releases/app-1.0.0.tar.gz", 0.5);
  copy.broken("a damaged release", "the release is damaged: ");
  shell("cd releases; mv app-1.0.0.tar.gz app-1.0.1.tar.gz; sha256sum app-1.0.1.tar.gz >SHA256SUMS");
  copy.broken("another release", "no such release: ");
}

TEST_CASE("a set that is sealed gets no other fingerprints") {
  const Copy copy;
  const Ran ran =
      copy.bench.run(R"(
runbook "late" {}
local input = inputs { dir = { doc = "where", type = "path" }, env = { doc = "keys", type = "secret" } }
key.escrow "keys" { key = input.env, variables = { "MASTER" }, set = input.dir / "set" }
)",
                     {"--set", "dir=" + copy.bench.path(), "--set", "env=file:" + made().bench.file("env")});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 2);
  CHECK(flat(ran.out).find("the recovery set is sealed already") != std::string::npos);
  CHECK(copy.verify().exit == 0);
}

TEST_CASE("whatever is damaged in a set is found, and named") {
  const Copy copy;
  SUBCASE("the dump") {
    copy.flip("app.dump", 0.6);
    copy.broken("dump", "app.dump: its SHA-256 is another");
  }
  SUBCASE("a dump that is shorter") {
    CHECK(truncate(copy.path("set/app.dump").c_str(), 900) == 0);
    copy.broken("dump", "app.dump: it has 900 bytes, and had ");
    CHECK(copy.verify({"--depth", "quick"}).exit == 1);
  }
  SUBCASE("the base backup, which its manifest binds") {
    copy.flip("base/base.tar.zst", 0.5);
    const Ran ran = copy.verify();
    INFO(ran.out, ran.err);
    CHECK(ran.exit == 1);
    // By the manifest, or before that by whatever decodes it: as the bit falls.
    const std::string told = flat(ran.out);
    CHECK((told.find("the base backup is damaged") != std::string::npos ||
           told.find("cannot read the archive: " + copy.path("set/base/base.tar.zst")) != std::string::npos));
  }
  SUBCASE("the manifest of the base backup") {
    copy.flip("base/backup_manifest", 0.5);
    copy.broken("base", "backup_manifest");
  }
  SUBCASE("a segment of the WAL") {
    sys::remove_file(copy.path("set/wal/" + made().last));
    // The end of the archive is where it ends: the moment is earlier, and nothing is missing.
    CHECK(copy.verify().exit == 0);
  }
  SUBCASE("a record of the WAL") {
    const std::string segment = "wal/" + made().last;
    std::string bytes = sys::read_file(copy.path("set/" + segment));
    bytes[8192 + 300] ^= 1;
    sys::write_file(copy.path("set/" + segment), bytes, 0600);
    copy.broken("wal", made().last);
  }
  SUBCASE("the blobs") {
    copy.flip("blobs.tar.zst", 0.7);
    copy.broken("blobs", "blobs.tar.zst");
    const Json json = sys::parse_json(copy.verify({"--json"}).out);
    for (const Json& problem : json["problems"]) CHECK(problem["hint"] != "");
  }
  SUBCASE("a file that is gone") {
    sys::remove_file(copy.path("set/blobs.sha256"));
    copy.broken("blobs", "blobs.sha256: it is missing");
  }
  SUBCASE("all that it binds") {
    Json json = sys::parse_json(sys::read_file(copy.path("set/backup.json")));
    for (const char* part : {"database", "blobs", "fingerprints", "passphrase"}) json.erase(part);
    json["files"] = Json::array();
    sys::write_file(copy.path("set/backup.json"), json.dump(), 0644);
    copy.broken("nothing", "backup.json: it binds nothing");
  }
  SUBCASE("backup.json") {
    copy.flip("backup.json", 0.0);
    const Ran ran = copy.verify();
    CHECK(ran.exit == 2);
    CHECK(flat(ran.err).find("cannot read the recovery set") != std::string::npos);
  }
  SUBCASE("no backup.json") {
    sys::remove_file(copy.path("set/backup.json"));
    const Ran ran = copy.verify();
    CHECK(ran.exit == 2);
    CHECK(flat(ran.err).find("it has no backup.json") != std::string::npos);
  }
}
