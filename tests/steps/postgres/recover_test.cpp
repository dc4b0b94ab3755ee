#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runner/step/step.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// One life of a cluster, told by its archive: rows 1 to 3, a named point, a bad delete, row 9, and, in a
// later segment, row 10.
struct Life {
  Source source;
  std::string archive, before_delete, before_lsn, delete_xid, last_segment, first_segment;

  Life() : archive(source.server.archive_folder()) {
    for (int i = 1; i <= 3; ++i) source.insert(i);
    source.server.execute("select pg_create_restore_point('good')");
    before_delete = source.now();
    before_lsn = source.lsn();
    delete_xid = source.server.value("with gone as (delete from t returning 1) select txid_current()");
    source.insert(9);
    first_segment = source.server.archive_now();
    source.insert(10);
    last_segment = source.server.archive_now();
    source.server.stop();
  }

  Json wanted(const std::string& to = "latest") const {
    return {{"base", source.base}, {"wal", {archive}}, {"to", to}};
  }
};

const Life& life() {
  static const Life one;
  return one;
}

// A copy of the archive that a test may spoil.
struct Archive {
  sys::TempFolder folder;
  std::string path = folder.path() + "/wal";
  Archive() {
    std::filesystem::copy(life().archive, path);
    give_to_postgres(folder.path());
  }
  Json wanted(const std::string& to = "latest") const {
    Json json = life().wanted(to);
    json["wal"] = {path};
    return json;
  }
};

void flip_byte(const std::string& file, std::uint64_t at) {
  std::string bytes = sys::read_file(file, 1u << 30);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
  sys::write_file(file, bytes, 0600);
  give_to_postgres(file);
}

std::uint64_t place_of(const std::string& file, const std::string& text) {
  const std::size_t at = sys::read_file(file, 1u << 30).find(text);
  REQUIRE(at != std::string::npos);
  return at;
}

void run(const std::string& script) {
  sys::Command command;
  command.argv = {"/bin/sh", "-ec", script};
  sys::output_of(command, "a test's script failed");
}

bool holds(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK_MESSAGE(text.find(part) != std::string::npos, "should hold: " << part << "\nis: " << text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a cluster comes back to each kind of moment") {
  const struct {
    std::string to, rows;
  } moments[] = {
      {"latest", "9 10"},
      {life().before_delete, "1 2 3"},
      {"name:good", "1 2 3"},
      {"lsn:" + life().before_lsn, "none"},  // the record that begins there is the delete's first
      {"xid:" + life().delete_xid, "none"},
  };
  for (const auto& moment : moments) {
    CAPTURE(moment.to);
    const RecoverAttempt attempt(life().wanted(moment.to));
    const Outcome plan = attempt.preview();
    REQUIRE(plan.error == "");
    CHECK(plan.value["verdict"] == "would_change");
    REQUIRE(plan.value["problems"] == Json::array());
    const Outcome done = attempt.apply();
    REQUIRE(done.error == "");
    CHECK(done.value["recovered_to"] == moment.to);
    CHECK(done.value["timeline"] == 2);
    CHECK(done.value["protected"] == false);
    CHECK(done.value["data"] == attempt.data());
    CHECK(done.value["rpo_seconds"] == nullptr);
    CHECK(plan.value["summary"].get<std::string>().find(done.value["last_commit"].get<std::string>()) !=
          std::string::npos);
    CHECK(attempt.apply().value == done.value);
    CHECK(attempt.check().value == Json{{"done", true}, {"outputs", done.value}});
    if (moment.to[0] == 'l' && moment.to[1] == 's') continue;
    CHECK(rows_of(attempt.data()) == moment.rows);
  }
}

TEST_CASE("what was lost is counted from the last commit") {
  Json params = life().wanted(life().before_delete);
  params["lost_at"] = life().before_delete;
  params["port"] = 6543;
  const RecoverAttempt attempt(params);
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  CHECK(done.value["rpo_seconds"].get<double>() >= 0);
  CHECK(done.value["rpo_seconds"].get<double>() < 60);
  // The database may have been idle since: then nothing was lost.
  CHECK(done.value["rpo_at_least_seconds"] == 0.0);
  CHECK(done.value["heartbeat"] == nullptr);
  CHECK(done.value["url"] ==
        "postgresql:///postgres?host=" + life().source.server.socket_folder() + "&port=6543");
  // Nothing of the recovery is left to steer the next one, and the new timeline's history waits to be
  // archived.
  CHECK_FALSE(sys::exists(attempt.data() + "/recovery.signal"));
  CHECK_FALSE(sys::exists(attempt.data() + "/relight.work"));
  CHECK_FALSE(sys::exists(attempt.data() + "/postmaster.opts"));
  CHECK(sys::exists(attempt.data() + "/pg_wal/archive_status/00000002.history.ready"));
}

TEST_CASE("a moment outside of what can be recovered is refused with the window") {
  const auto refused = [](const std::string& to) {
    const Outcome plan = RecoverAttempt(life().wanted(to)).preview();
    REQUIRE(plan.error == "");
    REQUIRE(plan.value["problems"].size() == 1);
    return plan.value["problems"][0].get<std::string>() + " | " + plan.value["mends"][0].get<std::string>();
  };
  holds(refused("2020-01-01T00:00:00Z"),
        "the moment lies before the end of the base backup: 2020-01-01T00:00:00Z: this backup can be "
        "recovered from ");
  holds(refused("2120-01-01T00:00:00Z"), "the last commit in the archive is of 20");
  holds(refused("2120-01-01T00:00:00Z"), "write to = \"latest\"");
  holds(refused("lsn:0/100028"), "the moment lies before the end of the base backup");
  holds(refused("lsn:7F/0"), "the moment lies after the end of the WAL: lsn:7F/0: the last record is at ");
  holds(refused("name:bad"), "the WAL does not hold this restore point: name:bad");
  holds(refused("xid:4000000"), "the WAL does not hold the end of this transaction: xid:4000000");
}

TEST_CASE("a damaged segment is found by the plan, and does not hinder an earlier moment") {
  const Archive archive;
  // In the last record of the last segment but one... of row 10.
  const std::string segment = archive.path + "/" + life().last_segment;
  flip_byte(segment, 60);
  const RecoverAttempt attempt(archive.wanted());
  const Outcome plan = attempt.preview();
  REQUIRE(plan.error == "");
  REQUIRE(plan.value["problems"].size() == 1);
  const std::string problem = plan.value["problems"][0], mend = plan.value["mends"][0];
  holds(problem, "a WAL segment is damaged: " + life().last_segment + ": ");
  holds(problem, "recovery is possible up to the commit of 20");
  const Outcome failed = attempt.apply();
  holds(failed.error, "a WAL segment is damaged: " + life().last_segment);
  CHECK_FALSE(sys::exists(attempt.data()));

  const std::size_t from = mend.find("lsn:");
  REQUIRE(from != std::string::npos);
  const RecoverAttempt shorter(archive.wanted(mend.substr(from, mend.find('"', from) - from)));
  REQUIRE(shorter.apply().error == "");
  CHECK(rows_of(shorter.data()) == "9");
  const RecoverAttempt earlier(archive.wanted(life().before_delete));
  CHECK(earlier.preview().value["problems"] == Json::array());
}

TEST_CASE("a missing, a short and a foreign segment are told by name") {
  const auto problem_of = [](const Archive& archive) {
    const Outcome plan = RecoverAttempt(archive.wanted()).preview();
    REQUIRE(plan.error == "");
    REQUIRE(plan.value["problems"].size() == 1);
    return plan.value["problems"][0].get<std::string>();
  };
  const std::string name = life().first_segment;
  const Archive gap, shorter, foreign;
  sys::remove_file(gap.path + "/" + name);
  holds(problem_of(gap), "a WAL segment is missing: " + name + ": ");
  std::filesystem::resize_file(shorter.path + "/" + name, 4096);
  holds(problem_of(shorter), "a WAL segment is damaged: " + name + ": it has 4096 bytes instead of 1048576");
  flip_byte(foreign.path + "/" + name, 24);  // within the system identifier
  holds(problem_of(foreign),
        "a WAL segment is damaged: " + name + ": it is of another cluster: system identifier ");
  Json nowhere = life().wanted();
  nowhere["wal"] = {"/nowhere/wal"};
  const Outcome plan = RecoverAttempt(nowhere).preview();
  holds(plan.value["problems"][0], "cannot read the WAL archive: /nowhere/wal: nothing is there");
}

TEST_CASE("segments may be compressed") {
  const Archive archive;
  run("cd " + archive.path + " && gzip 0*[0-9A-F]");
  CHECK(sys::exists(archive.path + "/" + life().last_segment + ".gz"));
  const RecoverAttempt attempt(archive.wanted());
  const Outcome plan = attempt.preview();
  REQUIRE(plan.value["problems"] == Json::array());
  REQUIRE(attempt.apply().error == "");
  CHECK(rows_of(attempt.data()) == "9 10");
  flip_byte(archive.path + "/" + life().last_segment + ".gz", 200);
  const Outcome spoilt = RecoverAttempt(archive.wanted()).preview();
  REQUIRE(spoilt.value["problems"].size() == 1);
  holds(spoilt.value["problems"][0], "a WAL segment is damaged: " + life().last_segment);
}

TEST_CASE("a flipped byte in the base backup is found while it is unpacked, and the target is as it was") {
  const sys::TempFolder folder;
  const std::string base = folder.path() + "/base";
  std::filesystem::copy(life().source.base, base);
  flip_byte(base + "/base.tar", place_of(base + "/base.tar", std::string("base/1/1259\0", 12)) + 512 + 100);
  give_to_postgres(folder.path());
  Json params = life().wanted();
  params["base"] = base;
  const RecoverAttempt attempt(params);
  CHECK(attempt.preview().value["problems"] == Json::array());
  const Outcome full = attempt.preview(true);
  REQUIRE(full.value["problems"].size() == 1);
  holds(full.value["problems"][0], "the base backup is damaged: base/1/1259: its checksum is ");
  holds(attempt.apply().error, "the base backup is damaged: base/1/1259: its checksum is ");
  CHECK_FALSE(sys::exists(attempt.data()));
  CHECK(attempt.undo().error == "");
  std::size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(attempt.folder()))
    left += entry.path().filename() != "notes.json";
  CHECK(left == 0);

  // The manifest itself, and one that is not there.
  flip_byte(base + "/backup_manifest", 300);
  holds(attempt.preview().value["problems"][0], "its own checksum does not match");
  sys::remove_file(base + "/backup_manifest");
  holds(attempt.preview().value["problems"][0], "it has no backup_manifest");
}

TEST_CASE("what lies at the target decides") {
  const auto with = [](bool replace, const std::function<void(const std::string&)>& prepare) {
    Json params = life().wanted();
    params["replace"] = replace;
    auto attempt = std::make_unique<RecoverAttempt>(params);
    prepare(attempt->data());
    give_to_postgres(attempt->folder());
    return attempt;
  };
  const auto initdb = [](const std::string& data) {
    sys::make_folders(data);
    give_to_postgres(data);
    sys::Command command;
    command.argv = {Postgres::program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"};
    command.as = "postgres";
    command.cwd = "/";
    sys::output_of(command, "cannot run initdb");
  };

  SUBCASE("an empty cluster is told, exchanged and given back") {
    const auto attempt = with(false, initdb);
    const std::string before = sys::tree_digest(attempt->data());
    const Outcome plan = attempt->preview();
    CHECK(plan.value["problems"] == Json::array());
    holds(plan.value["hints"].dump(), "an empty cluster lies at ");
    CHECK(plan.value["keeps"].size() == 1);
    CHECK(sys::tree_digest(attempt->data()) == before);
    REQUIRE(attempt->apply().error == "");
    CHECK(rows_of(attempt->data()) == "9 10");
    CHECK(attempt->kept().value.size() == 1);
    REQUIRE(attempt->undo().error == "");
    REQUIRE(attempt->undo().error == "");
    CHECK(sys::tree_digest(attempt->data()) == before);
    CHECK(attempt->kept().value.size() == 0);
    REQUIRE(attempt->apply().error == "");  // afresh
    CHECK(rows_of(attempt->data()) == "9 10");
    REQUIRE(attempt->discard().error == "");
    CHECK(attempt->kept().value.size() == 0);
    CHECK(rows_of(attempt->data()) == "9 10");
  }
  SUBCASE("a cluster with data is refused unless it is to be replaced") {
    const auto copy = [](const std::string& data) {
      run("cp -a " + life().source.server.data() + " " + data);
    };
    const auto attempt = with(false, copy);
    const std::string before = sys::tree_digest(attempt->data());
    holds(attempt->preview().value["problems"][0], "a cluster with data is in the way: " + attempt->data());
    holds(attempt->apply().error, "a cluster with data is in the way");
    CHECK(sys::tree_digest(attempt->data()) == before);
    const auto replacing = with(true, copy);
    REQUIRE(replacing->apply().error == "");
    CHECK(rows_of(replacing->data()) == "9 10");
  }
  SUBCASE("what is no cluster is never replaced") {
    const auto attempt = with(true, [](const std::string& data) {
      sys::make_folders(data);
      sys::write_file(data + "/letter", "dear", 0644);
    });
    holds(attempt->preview().value["problems"][0], "something else is in the way: " + attempt->data());
    CHECK(sys::read_file(attempt->data() + "/letter") == "dear");
  }
}

TEST_CASE("what this host has not yet is told, and what its user may not read") {
  const sys::TempFolder folder;
  const std::string base = folder.path() + "/base", tar = base + "/base.tar";
  std::filesystem::copy(life().source.base, base);
  std::string bytes = sys::read_file(tar, 1u << 30);
  bytes[place_of(tar, std::string("PG_VERSION\0", 11)) + 512 + 1] = '9';  // 19
  sys::write_file(tar, bytes, 0600);
  give_to_postgres(folder.path());
  Json params = life().wanted();
  params["base"] = base;
  const RecoverAttempt attempt(params);
  const Outcome plan = attempt.preview();
  CHECK(plan.value["verdict"] == "cannot_yet_tell");
  CHECK(plan.value["problems"] == Json::array());
  holds(plan.value["hints"].dump(),
        "PostgreSQL 19 is not installed: the WAL is checked when it is; install the package postgresql-19");
  holds(attempt.apply().error, "PostgreSQL 19 is not installed");
  params["version"] = 15;
  holds(RecoverAttempt(params).preview().value["problems"][0], "the base backup is of another version");

  REQUIRE(chmod(folder.path().c_str(), 0700) == 0);
  REQUIRE(chown(folder.path().c_str(), 0, 0) == 0);
  const Outcome closed = attempt.preview();
  holds(closed.value["problems"][0], "cannot read the base backup: " + base + ": Permission denied");
  holds(closed.value["mends"][0], "let the user postgres read it");
}

TEST_CASE("a running server is not exchanged under its feet") {
  Source other({"--format=tar"});
  Json params = life().wanted();
  params["replace"] = true;
  params["data"] = other.server.data();
  const RecoverAttempt attempt(params);
  const Outcome plan = attempt.preview();
  CHECK(plan.value["verdict"] == "cannot_yet_tell");
  holds(plan.value["hints"].dump(), "stop it in a step before this one, with service.stop");
  const Outcome refused = attempt.apply();
  holds(refused.error, "a server runs on the data directory: " + other.server.data());
  CHECK(other.server.value("select 1") == "1");
}

TEST_CASE("root is refused, because PostgreSQL refuses it") {
  const StepType& type = type_named("postgres.recover");
  Json values = life().wanted();
  const sys::TempFolder folder;
  values["data"] = folder.path() + "/data";
  const TestParams params(type, values.dump());
  TestCall call;
  call.preview_only = true;
  const Preview preview = type.make()->preview(params, call);
  REQUIRE(preview.problems.size() == 1);
  CHECK(preview.problems[0].what == "PostgreSQL does not run as root");
  CHECK(preview.problems[0].hint == "write as = \"postgres\"");
}
