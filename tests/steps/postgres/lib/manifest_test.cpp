#include "steps/postgres/lib/manifest.h"

#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "steps/postgres/lib/checker.h"
#include "steps/postgres/lib/control.h"

using namespace relight;
using namespace relight::postgres;

namespace {

std::string signed_text(const std::string& body) {
  return body + "\"Manifest-Checksum\": \"" + sys::sha256_hex(body) + "\"}\n";
}

const std::string body =
    "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n"
    "{ \"Path\": \"backup_label\", \"Size\": 9, \"Last-Modified\": \"2026-11-21 10:58:00 GMT\", "
    "\"Checksum-Algorithm\": "
    "\"CRC32C\", \"Checksum\": \"839206e3\" },\n"
    "{ \"Encoded-Path\": \"62617365ff\", \"Size\": 0, \"Last-Modified\": \"2026-11-21 10:58:00 GMT\" },\n"
    "{ \"Path\": \"pg_tblspc/16384/PG_15_1/5/1\", \"Size\": 3, \"Last-Modified\": \"2026-11-21 10:58:00 "
    "GMT\", "
    "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": "
    "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }],\n"
    "\"WAL-Ranges\": [\n{ \"Timeline\": 2, \"Start-LSN\": \"0/3000000\", \"End-LSN\": \"0/4000100\" },\n"
    "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/3000000\" }\n],\n";

std::string error_of(const std::string& text) {
  try {
    parse_manifest(text, "m");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a manifest is read, and checks itself") {
  const Manifest manifest = parse_manifest(signed_text(body), "m");
  CHECK(manifest.files.size() == 3);
  CHECK(manifest.files.count("base\xff") == 1);
  CHECK(manifest.bytes() == 12);
  CHECK(manifest.timeline == 1);
  CHECK(manifest.start == 0x2000028);
  CHECK(manifest.end == 0x4000100);
  REQUIRE(manifest.started());
  CHECK(sys::show_time(*manifest.started()) == "2026-11-21T10:58:00Z");

  std::string flipped = signed_text(body);
  flipped[200] ^= 1;
  CHECK(error_of(flipped) == "cannot read the backup's manifest: m: its own checksum does not match");
  CHECK(error_of(body) == "cannot read the backup's manifest: m: it is cut short");
  CHECK(error_of("") == "cannot read the backup's manifest: m: it is cut short");
  std::string back = body;
  back.replace(back.find("0/4000100"), 9, "0/2FFFFFF");
  CHECK(error_of(signed_text(back)) == "cannot read the backup's manifest: m: its WAL ends before it begins");
  for (const char* number : {"-1", "1e+30", "1.5", "4294967297"}) {
    std::string odd = body;
    odd.replace(odd.find("Timeline\": 1") + 11, 1, number);
    CHECK(error_of(signed_text(odd)) ==
          "cannot read the backup's manifest: m: the number " + std::string(number) + " cannot be");
  }
  std::string no_number = body;
  no_number.replace(no_number.find("\"Size\": 9"), 9, "\"Size\": \"9\"");
  CHECK(error_of(signed_text(no_number)) == "cannot read the backup's manifest: m: a number is missing");
  std::string later = body;
  later.replace(later.find("Version\": 1"), 11, "Version\": 9");
  CHECK(error_of(signed_text(later)) ==
        "cannot read the backup's manifest: m: its format 9 is not known here");
}

TEST_CASE("checksums as PostgreSQL writes them") {
  const struct {
    const char *algorithm, *bytes, *hex;
  } table[] = {
      {"", "abc", ""},
      {"CRC32C", "", "00000000"},
      {"CRC32C", "123456789", "839206e3"},  // E3069283, in memory order
      {"SHA224", "abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
      {"SHA256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
  };
  for (const auto& [algorithm, bytes, hex] : table) {
    CAPTURE(algorithm);
    Checksum checksum(algorithm);
    for (const char* byte = bytes; *byte != 0; ++byte) checksum.add(std::string_view(byte, 1));
    CHECK(checksum.hex() == hex);
  }
  CHECK_THROWS_AS(Checksum("MD5"), Error);
}

TEST_CASE("the checker tells what differs, what is missing and what comes twice") {
  const Manifest manifest = parse_manifest(signed_text(body), "m");
  const auto with = [&](const std::function<void(Checker&)>& act) -> std::string {
    Checker checker(manifest, "");
    act(checker);
    const auto verdict = checker.verdict();
    return verdict ? verdict->what() : "";
  };
  const auto all_but_label = [](Checker& checker) { checker.begin("base\xff", 0); };
  CHECK(with([&](Checker& c) {
          all_but_label(c);
          c.begin("backup_label", 9);
          c.block("backup_label", "1234");
          c.block("backup_label", "56789");
        }) == "");
  CHECK(with([&](Checker& c) {
          all_but_label(c);
          c.begin("backup_label", 9);
          c.block("backup_label", "123456780");
        }).find("the base backup is damaged: backup_label: its checksum is ") == 0);
  CHECK(with([&](Checker& c) {
          all_but_label(c);
          c.begin("backup_label", 8);
        }) == "the base backup is damaged: backup_label: it has 8 bytes, and the manifest says 9");
  CHECK(with([&](Checker& c) {
          all_but_label(c);
          c.begin("backup_label", 9);
          c.block("backup_label", "1234");
        }) == "the base backup is not whole: backup_label: it is cut short");
  CHECK(with(all_but_label) ==
        "the base backup is not whole: backup_label: it is in the manifest, and not in the backup");
  CHECK(with([&](Checker& c) {
          all_but_label(c);
          all_but_label(c);
          c.passed_over("backup_label");
        }) == "the base backup is damaged: base\xff: it comes twice");

  Checker space(manifest, "pg_tblspc/16384/");
  CHECK(space.known("PG_15_1/5/1"));
  space.begin("PG_15_1/5/1", 3);
  space.block("PG_15_1/5/1", "abc");
  CHECK_FALSE(space.verdict());
}

TEST_CASE("pg_controldata's text") {
  const std::string text =
      "Database system identifier:           7411111111111111111\n"
      "Database cluster state:               in production\n"
      "Latest checkpoint's TimeLineID:       3\n"
      "Min recovery ending loc's timeline:   4\n"
      "wal_level setting:                    logical\n"
      "max_connections setting:              30\n"
      "max_worker_processes setting:         9\n"
      "max_wal_senders setting:              11\n"
      "max_prepared_xacts setting:           7\n"
      "max_locks_per_xact setting:           65\n"
      "track_commit_timestamp setting:       on\n"
      "Database block size:                  8192\n"
      "Data page checksum version:           1\n"
      "Bytes per WAL segment:                1048576\n";
  const Control control = parse_control(text, "c");
  CHECK(control.system_identifier == "7411111111111111111");
  CHECK(control.state == "in production");
  CHECK(control.timeline == 3);
  CHECK(control.recovery_timeline == 4);
  CHECK(control.segment_size == 1u << 20);
  CHECK(control.checksums);
  CHECK(control.demands.max_connections == 30);
  CHECK(control.demands.max_prepared_transactions == 7);
  CHECK(control.demands.wal_level == "logical");
  CHECK(control.demands.track_commit_timestamp);
  std::string message;
  try {
    parse_control(text.substr(0, 100), "c");
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message ==
        "cannot read pg_control: c: pg_controldata does not tell \"Latest checkpoint's TimeLineID\"");
}
