// Bad input to an upgrade of Ember: each is told before anything stops, and the old version goes on as it
// was.
#include <doctest/doctest.h>
#include <sys/statvfs.h>

#include <cstdlib>
#include <filesystem>

#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "tests/support/ember_host.h"

using namespace relight;

namespace {

// What the upgrade is refused with; it was never stopped, and answers with what it had.
std::string refused(EmberHost& host, const std::string& to, const std::vector<std::string>& more = {}) {
  const sys::ProcessId before = sys::process_now(host.pid());
  std::vector<std::string> plan = host.words(to, "plan");
  plan.insert(plan.end(), more.begin(), more.end());
  const Ran planned = host.relight(plan);
  const Ran ran = host.upgrade(to, more);
  INFO(planned.out, planned.err);
  INFO(ran.out, ran.err);
  CHECK(planned.exit == 2);
  CHECK(ran.exit == 2);
  CHECK(alive(before));
  CHECK(host.pid() == before.pid);
  CHECK(host.content() == host.before);
  CHECK_FALSE(sys::exists(host.backup));
  return flat(planned.out + planned.err);
}

bool says(const std::string& told, const std::string& text) {
  CAPTURE(told);
  CAPTURE(text);
  CHECK(told.find(text) != std::string::npos);
  return told.find(text) != std::string::npos;
}

// Leaves so many bytes free where `folder` lies.
void fill_up(const std::string& folder, std::uint64_t free) {
  struct statvfs system {};
  REQUIRE(statvfs(folder.c_str(), &system) == 0);
  const std::uint64_t now = system.f_bavail * system.f_bsize;
  REQUIRE(now > free);
  sys::write_file(folder + "/ballast", std::string(now - free, 'x'), 0600);
}

}  // namespace

TEST_CASE("what an upgrade cannot come through with is told before anything stops") {
  EmberHost host;

  SUBCASE("the version that runs already") {
    says(refused(host, "1.0.0"), "nothing to upgrade: 1.0.0 is the version that runs, and stays as it is");
  }
  SUBCASE("a release that is not there") {
    says(refused(host, "1.9.0"), "no such release: " + host.releases + "/ember-1.9.0");
  }
  SUBCASE("a release that is not what was released") {
    host.write("releases/SHA256SUMS", std::string(64, '0') + "  ember-1.1.0/bin/ember\n");
    says(refused(host, "1.1.0"), "the release is damaged: " + host.releases + "/ember-1.1.0/bin/ember");
    says(refused(host, "1.2.0-health"), "cannot trust the release: " + host.releases + "/ember-1.2.0-health");
  }
  SUBCASE("a version that is not pinned") {
    says(refused(host, "latest"), "not a pinned version: latest");
  }
}

TEST_CASE("a version that is not the one that was told is found by the first probe, which stops nothing") {
  EmberHost host;
  const sys::ProcessId before = sys::process_now(host.pid());
  const Ran ran = host.upgrade("1.1.0", {"--set", "from=0.9.0", "--set", "within=2s"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 3);
  says(flat(ran.out + ran.err), "version is \"1.0.0\", not \"0.9.0\"");
  CHECK(alive(before));
  CHECK(host.content() == host.before);
  CHECK_FALSE(sys::exists(host.backup));
}

TEST_CASE(
    "a backup that was taken before is one of the version that runs, and young enough, or nothing stops") {
  EmberHost host;
  REQUIRE(host.upgrade("1.2.0-health").exit == 3);
  const std::string set = host.backup, file = set + "/backup.json";
  const Json sealed = sys::parse_json(sys::read_file(file));
  const auto changed = [&](const char* field, const std::string& value) {
    Json json = sealed;
    json[field] = value;
    sys::write_file(file, json.dump(), 0644);
  };
  const std::vector<std::string> taken = {"--set", "backup=" + set, "--set", "max_age=6h"};

  says(refused(host, "1.1.0", {"--set", "backup=" + set}), "it would replace what is there: " + set);
  changed("version", "0.9.0");
  says(refused(host, "1.1.0", taken),
       "the recovery set is of another version: " + set + ": it is of 0.9.0, not of 1.0.0");
  changed("time", "2026-01-02T03:04:05Z");
  const std::string told = refused(host, "1.1.0", taken);
  says(told, "the recovery set is too old: " + set + ": it was sealed ");
  says(told, " ago, at 2026-01-02T03:04:05Z, and may be 6h 00m old");
  changed("time", "2126-01-02T03:04:05Z");
  says(refused(host, "1.1.0", taken),
       "it says that it was sealed at 2126-01-02T03:04:05Z, which is yet to come");
  changed("time", "some day");
  says(refused(host, "1.1.0", taken), "cannot tell the age of the recovery set: " + set);
  sys::write_file(file, sealed.dump(), 0644);
  sys::write_file(set + "/ember.dump", "", 0644);
  says(refused(host, "1.1.0", taken), "a file of the recovery set is not what was backed up: " + set);
}

TEST_CASE("an upgrade stands on a backup that was taken before, where that is young enough") {
  EmberHost host;
  REQUIRE(host.upgrade("1.2.0-health").exit == 3);
  const std::string set = host.backup;
  const Ran ran = host.upgrade("1.1.0", {"--set", "backup=" + set, "--set", "max_age=6h"});
  INFO(ran.out, ran.err);
  CHECK(ran.exit == 0);
  CHECK(host.version() == "1.1.0");
  CHECK(ran.out.find("dump") == std::string::npos);
}

TEST_CASE("too little disk for the copies that are kept is told before anything stops") {
  SUBCASE("of the blobs") {
    EmberHost host({.drain = 0, .disk = "300m"});
    REQUIRE(host.ask("POST", "/api/notes/1/attachments?name=b", std::string(8 << 20, 'b')).status == 201);
    host.before = host.content();
    fill_up(host.home, 2 << 20);
    const std::string told = refused(host, "1.1.0");
    says(told, "too little disk space: " + host.home);
    says(told, "needed by keep-blobs");
  }
  SUBCASE("of the database") {
    sys::TempFolder folder("/var/tmp");
    const Mounted disk(folder.path() + "/disk", Mounted::Kind::tmpfs, "400m");
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(disk.path(), std::filesystem::perms(0777));
    setenv("TMPDIR", disk.path().c_str(), 1);
    EmberHost host;
    unsetenv("TMPDIR");
    fill_up(disk.path(), 4 << 20);
    const std::string told = refused(host, "1.1.0");
    says(told, "too little disk space: " + disk.path());
    says(told, "needed by keep-database");
  }
}
