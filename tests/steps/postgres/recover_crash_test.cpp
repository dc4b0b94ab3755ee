#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/mounted.h"
#include "tests/support/recovery.h"

using namespace relight;

namespace {

// A cluster with two tablespaces, a configuration folder kept with its backup, and an older cluster where it
// is to be.
struct Bench {
  Source source;
  std::string live_fast, live_slow;
  sys::TempFolder etc;

  Bench() : source({"--format=tar"}) {
    for (std::string* live : {&live_fast, &live_slow}) {
      *live = source.server.folder() + (live == &live_fast ? "/fast" : "/slow");
      sys::make_folders(*live);
      give_to_postgres(*live);
    }
    source.server.execute("create tablespace fast location '" + live_fast + "'");
    source.server.execute("create tablespace slow location '" + live_slow + "'");
    source.server.execute("create table f (i int) tablespace fast; insert into f values (1), (2)");
    source.server.execute("create table s (i int) tablespace slow; insert into s values (3), (4)");
    std::filesystem::remove_all(source.base);
    source.server.base_backup(source.base, {"--format=tar"});
    source.server.execute("insert into f values (5); insert into s values (6); insert into t values (7)");
    source.server.execute("vacuum");
    source.server.archive_now();
    source.server.execute("checkpoint");  // it has nothing left to write of its own accord
  }

  // `into`: of the attempt, where the configuration goes.
  Json wanted() const { return {{"base", source.base}, {"wal", {source.server.archive_folder()}}}; }
};

Bench& bench() {
  static Bench one;
  return one;
}

struct Target {
  sys::TempFolder folder;
  std::string data = folder.path() + "/lib/15/main", config_into = folder.path() + "/etc/15/main",
              config = folder.path() + "/kept-config", old_digest, old_config_digest;
  std::string fast = folder.path() + "/fast-new", slow = folder.path() + "/slow-new";

  Target() {
    for (const std::string& path : {folder.path() + "/lib/15", config_into, config}) sys::make_folders(path);
    std::filesystem::copy(bench().source.base, folder.path() + "/unused");
    sys::write_file(config_into + "/postgresql.conf", "# the old one\n", 0644);
    sys::write_file(config + "/postgresql.conf",
                    "data_directory = '" + data + "'\nhba_file = '" + config_into +
                        "/pg_hba.conf'\nident_file = '" + config_into +
                        "/pg_ident.conf'\nport = 5544\nunix_socket_directories = '" + folder.path() + "'\n",
                    0644);
    sys::write_file(config + "/pg_hba.conf", "local all all trust\n", 0640);
    sys::write_file(config + "/pg_ident.conf", "", 0640);
    give_to_postgres(folder.path());
    sys::Command initdb;
    initdb.argv = {Postgres::program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"};
    initdb.as = "postgres";
    initdb.cwd = "/";
    sys::output_of(initdb, "cannot run initdb");
    old_digest = sys::tree_digest(data);
    old_config_digest = sys::tree_digest(config_into);
  }

  Json wanted() const {
    Json json = bench().wanted();
    json["data"] = data;
    json["config"] = config;
    json["config_into"] = config_into;
    json["tablespaces"] = {{bench().live_fast, fast}, {bench().live_slow, slow}};
    return json;
  }
  void as_it_was() const {
    CHECK(sys::tree_digest(data) == old_digest);
    CHECK(sys::tree_digest(config_into) == old_config_digest);
    CHECK_FALSE(sys::exists(fast));
    CHECK_FALSE(sys::exists(slow));
    std::size_t left = 0;
    for (const char* place : {"/lib/15", "/etc/15"})
      for (const auto& entry : std::filesystem::directory_iterator(folder.path() + place)) {
        CAPTURE(entry.path().string());
        CHECK(entry.path().filename() == "main");
        ++left;
      }
    CHECK(left == 2);
  }
};

const char* const before_commit[] = {"postgres.recover:decided",
                                     "postgres.recover:cleared",
                                     "postgres.recover:data_unpacked",
                                     "postgres.recover:tablespace_unpacked",
                                     "postgres.recover:before_unpacked",
                                     "postgres.recover:unpacked",
                                     "postgres.recover:prepared",
                                     "postgres.recover:started",
                                     "postgres.recover:reached",
                                     "postgres.recover:promoted",
                                     "postgres.recover:before_stopped",
                                     "postgres.recover:stopped",
                                     "postgres.recover:half_tidied",
                                     "postgres.recover:tidied",
                                     "postgres.recover:config_copied",
                                     "switch:old_marked",
                                     "switch:marked",
                                     "postgres.recover:marked",
                                     "switch:before_commit"};
const char* const after_commit[] = {"switch:committed", "postgres.recover:committed",
                                    "postgres.recover:config_committed"};

}  // namespace

TEST_CASE("killed at every phase, one after the other, it ends as if it had never been") {
  const std::string fast = sys::tree_digest(bench().live_fast), slow = sys::tree_digest(bench().live_slow);
  const Target target, untroubled;
  const RecoverAttempt attempt(target.wanted()), never_killed(untroubled.wanted());
  const std::string old = attempt.digest();
  REQUIRE(never_killed.apply().error == "");
  for (const char* phase : before_commit) {
    CAPTURE(phase);
    const Outcome killed = attempt.apply(phase);
    CHECK(killed.error == "");
    REQUIRE(killed.killed);
    CHECK(sys::tree_digest(target.data) == target.old_digest);
    CHECK(sys::tree_digest(target.config_into) == target.old_config_digest);
  }
  for (const char* phase : after_commit) {
    CAPTURE(phase);
    REQUIRE(attempt.apply(phase).killed);
  }
  const Outcome done = attempt.apply();
  REQUIRE(done.error == "");
  CHECK(done.value["url"] == "postgresql:///postgres?host=" + target.folder.path() + "&port=5544");
  CHECK(sys::read_file(target.config_into + "/postgresql.conf").find("port = 5544") != std::string::npos);
  sys::write_file(target.data + "/pg_hba.conf", "local all all trust\n", 0640);
  give_to_postgres(target.data);
  const auto content = [](const std::string& digest) { return digest.substr(0, digest.find(' ')); };
  CHECK(content(attempt.digest()) == content(never_killed.digest()));
  CHECK(content(attempt.digest()) != content(old));
  CHECK(rows_of(target.data, "f") == "1 2 5");
  CHECK(rows_of(target.data, "s") == "3 4 6");
  CHECK(rows_of(target.data) == "7");
  // They belong to a server that runs all the while.
  CHECK(sys::tree_digest(bench().live_fast) == fast);
  CHECK(sys::tree_digest(bench().live_slow) == slow);

  for (const char* phase : {"switch:before_revert", "switch:reverted", "postgres.recover:config_reverted",
                            "postgres.recover:reverted"}) {
    CAPTURE(phase);
    REQUIRE(attempt.undo(phase).killed);
  }
  REQUIRE(attempt.undo().error == "");
  target.as_it_was();
  CHECK(attempt.digest() == old);
}

TEST_CASE(
    "a segment that is spoilt behind the decision is found by the server, and the target is as it was") {
  const sys::TempFolder folder;
  const std::string wal = folder.path() + "/wal";
  std::filesystem::copy(bench().source.server.archive_folder(), wal);
  give_to_postgres(folder.path());
  const Target target;
  Json params = target.wanted();
  params["wal"] = {wal};
  const RecoverAttempt attempt(params);
  REQUIRE(attempt.apply("postgres.recover:unpacked").killed);
  std::string last;
  for (const auto& entry : std::filesystem::directory_iterator(wal))
    if (const std::string name = entry.path().filename(); name.size() == 24) last = std::max(last, name);
  std::string bytes = sys::read_file(wal + "/" + last);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  sys::write_file(wal + "/" + last, bytes, 0644);
  const Outcome damaged = attempt.apply();
  CHECK(damaged.error.find("the server that replays the WAL has ended: ") == 0);
  CHECK(damaged.error.find("recovery ended before configured recovery target was reached") !=
        std::string::npos);
  CHECK(sys::tree_digest(target.data) == target.old_digest);
  sys::remove_file(wal + "/" + last);
  CHECK(attempt.apply().error.find("the server that replays the WAL has ended: ") == 0);
  // Mended, the same run goes on.
  std::filesystem::copy(bench().source.server.archive_folder() + "/" + last, wal + "/" + last);
  give_to_postgres(wal);
  CHECK(attempt.apply().error == "");
  REQUIRE(attempt.undo().error == "");
  target.as_it_was();
}

TEST_CASE("a server that was ended within its promotion recovers again, to the same moment") {
  const Target target;
  const RecoverAttempt attempt(target.wanted());
  REQUIRE(attempt.apply("postgres.recover:reached").killed);
  // It takes its signal away before it is on a timeline of its own.
  std::size_t taken = 0;
  for (const auto& entry : std::filesystem::directory_iterator(target.folder.path() + "/lib/15"))
    taken += std::filesystem::remove(entry.path() / "recovery.signal") ? 1 : 0;
  REQUIRE(taken == 1);
  CHECK(attempt.apply().error == "");
  CHECK(sys::exists(target.data + "/pg_wal/00000002.history"));
  sys::write_file(target.data + "/pg_hba.conf", "local all all trust\n", 0640);
  give_to_postgres(target.data);
  CHECK(rows_of(target.data, "f") == "1 2 5");
}

TEST_CASE("a data directory that is a mount point is recovered entry by entry, and goes back") {
  Target target;
  const std::string aside = target.folder.path() + "/aside";
  std::filesystem::rename(target.data, aside);
  const Mounted mounted(target.data);
  std::filesystem::copy(
      aside, target.data,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  std::filesystem::permissions(target.data, std::filesystem::perms::owner_all);
  sys::make_folders(target.data + "/lost+found", 0700);
  give_to_postgres(target.folder.path());
  REQUIRE(chown((target.data + "/lost+found").c_str(), 0, 0) == 0);
  target.old_digest = sys::tree_digest(target.data);

  const RecoverAttempt attempt(target.wanted());
  const Outcome preview = attempt.preview();
  CHECK(preview.value["problems"] == Json::array());
  CHECK(preview.value["hints"].dump().find("not atomic: " + target.data + " is a mount point") !=
        std::string::npos);
  CHECK(preview.value["space"].contains(target.data));

  for (const char* phase : {"postgres.recover:unpacked", "postgres.recover:promoted", "switch:noted",
                            "switch:aside", "switch:entry_aside", "switch:in", "switch:entry_in",
                            "switch:dressed", "postgres.recover:committed"}) {
    CAPTURE(phase);
    REQUIRE(attempt.apply(phase).killed);
  }
  REQUIRE(attempt.apply().error == "");
  CHECK(sys::exists(target.data + "/lost+found"));
  CHECK(attempt.kept().value[0]["on"].get<std::string>().starts_with(target.data + "/.relight-"));
  for (const char* phase : {"switch:out", "switch:entry_out", "switch:back", "switch:entry_back"}) {
    CAPTURE(phase);
    REQUIRE(attempt.undo(phase).killed);
  }
  REQUIRE(attempt.undo().error == "");
  CHECK(sys::tree_digest(target.data) == target.old_digest);

  // Half a switch is taken back, too; and the whole one runs.
  const RecoverAttempt again(target.wanted());
  REQUIRE(again.apply("switch:entry_in").killed);
  REQUIRE(again.undo().error == "");
  CHECK(sys::tree_digest(target.data) == target.old_digest);
  REQUIRE(again.apply().error == "");
  sys::write_file(target.data + "/pg_hba.conf", "local all all trust\n", 0640);
  give_to_postgres(target.data);
  CHECK(rows_of(target.data, "f") == "1 2 5");
}
