// What a dump holds, lacks and would do, as postgres.restore takes it.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "runner/sys/text.h"
#include "tests/support/dump_bench.h"

using namespace relight;
using namespace relight::dumps;

TEST_CASE("a dump that is cut off is refused by the plan and by the step") {
  DumpBench bench("custom directory tar plain");
  const std::string before = bench.state(), custom = bench.dump;
  const auto refused = [&](bool full = false) {
    CHECK_FALSE(bench.preview("", full).problems.empty());
    if (full) return;
    const Error error = bench.refusal();
    CHECK(error.kind == ErrorKind::refused);
    CHECK_FALSE(error.hint.empty());
    CHECK(bench.state() == before);
    CHECK(DumpBench::databases() == plain_databases);
  };
  for (const std::string& form : {std::string("dump"), std::string("tar"), std::string("plain")}) {
    const std::string bytes = sys::read_file(bench.root + "/ember." + form);
    for (const double part : {0.0, 0.02, 0.6, 0.97}) {
      CAPTURE(form);
      CAPTURE(part);
      bench.dump = bench.root + "/short." + form;
      sys::write_file(bench.dump,
                      bytes.substr(0, static_cast<std::size_t>(static_cast<double>(bytes.size()) * part)),
                      0644);
      refused();
    }
  }
  bench.dump = bench.root + "/ember.directory";
  std::vector<std::string> files;
  sys::walk(bench.dump, [&](const sys::Entry& entry) {
    if (entry.path.ends_with(".dat.gz")) files.push_back(bench.dump + "/" + entry.path);
  });
  REQUIRE_FALSE(files.empty());
  const std::string bytes = sys::read_file(files[0]);
  sys::write_file(files[0], bytes.substr(0, bytes.size() / 2), 0644);
  refused(true);
  sys::remove_file(files[0]);
  refused();
}

TEST_CASE("a dump that breaks while it is restored fails with its own lines, and nothing is replaced") {
  DumpBench bench("custom plain");
  const std::string before = bench.state();
  std::string text = sys::read_file(bench.root + "/ember.plain");
  const std::size_t at = text.find("CREATE VIEW");
  REQUIRE(at != std::string::npos);
  const auto line = 2 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  text.insert(at, "SELECT 1;\nSELECT broken_thing();\n");
  bench.dump = bench.root + "/broken.sql";
  sys::write_file(bench.dump, text, 0644);
  CHECK(bench.preview().problems.empty());
  const Error error = bench.refusal();
  CHECK(error.kind == ErrorKind::permanent);
  CAPTURE(error.why);
  CHECK(error.why.find("broken.sql:" + std::to_string(line) +
                       ": ERROR:  function broken_thing() does not exist") != std::string::npos);
  CHECK(bench.state() == before);
  CHECK(DumpBench::databases() == plain_databases);

  // A flipped byte in the compressed rows of a custom dump: the table of contents is whole.
  std::string bytes = sys::read_file(bench.root + "/ember.dump");
  const std::size_t zlib = bytes.find("\x78\x9c");
  REQUIRE(zlib != std::string::npos);
  bytes[zlib + 40] = static_cast<char>(bytes[zlib + 40] ^ 0x10);
  bench.dump = bench.root + "/flipped.dump";
  sys::write_file(bench.dump, bytes, 0644);
  sys::remove_file(bench.notes);
  CHECK_FALSE(bench.preview("", true).problems.empty());
  const Error flipped = bench.refusal();
  CHECK_FALSE(flipped.why.empty());
  CHECK(flipped.on.find("TABLE DATA public notes ember") != std::string::npos);
  CHECK(bench.state() == before);
  bench.undo();  // what was loaded by then is kept for a resume with a better copy
  CHECK(DumpBench::databases() == plain_databases);
}

TEST_CASE("a hostile plain dump is refused with its lines, and not a line of it is run") {
  DumpBench bench("plain");
  const std::string before = bench.state(), whole = sys::read_file(bench.root + "/ember.plain");
  const std::string hostages = bench.root + "/run";
  for (const std::string& evil :
       {std::string("\\connect postgres"), "\\! touch " + hostages, std::string("\\i /etc/passwd"),
        "\\copy notes from program 'touch " + hostages + "'",
        "COPY notes FROM PROGRAM 'touch " + hostages + "';", std::string("DROP DATABASE ember;"),
        std::string("CREATE DATABASE other;"), std::string("ALTER ROLE ember SUPERUSER;")}) {
    CAPTURE(evil);
    bench.dump = bench.root + "/evil.sql";
    sys::write_file(bench.dump, evil + "\n" + whole + evil + "\n", 0644);
    const Preview preview = bench.preview();
    REQUIRE(preview.problems.size() == 2);
    CHECK(preview.problems[0].on == bench.dump + ":1");
    CHECK_FALSE(preview.problems[0].hint.empty());
    CHECK(bench.refusal().kind == ErrorKind::refused);
    CHECK_FALSE(sys::exists(hostages));
    CHECK(bench.state() == before);
    CHECK(DumpBench::databases() == plain_databases);
  }
}

TEST_CASE("the CR LF of docker exec -t is mended") {
  DumpBench bench("plain");
  std::string text = sys::read_file(bench.root + "/ember.plain"), crlf;
  for (const char c : text) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  bench.dump = bench.root + "/crlf.sql";
  sys::write_file(bench.dump, crlf, 0644);
  CHECK(bench.preview().problems.empty());
  bench.apply();
  DumpBench::check_rows();
}

TEST_CASE("what the server lacks is told by the plan") {
  DumpBench bench("plain");
  bench.dump = bench.root + "/ember.plain";
  std::string text = sys::read_file(bench.dump);
  text.insert(
      text.find("CREATE VIEW"),
      "CREATE EXTENSION vector;\nALTER TABLE notes OWNER TO nobody_here;\nSET default_tablespace = fast;\n");
  sys::write_file(bench.dump, text, 0644);
  const Preview preview = bench.preview(R"("owner":"no_owner")");
  std::vector<std::string> lacking;
  for (const Problem& problem : preview.problems) lacking.push_back(problem.why);
  CHECK(lacking == std::vector<std::string>{"vector", "fast"});
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  REQUIRE(preview.hints.size() == 3);
  CHECK(preview.hints[2] ==
        "the role nobody_here is not there yet: an earlier step must make it (CREATE ROLE \"nobody_here\" "
        "LOGIN), or `globals` name a file that does");
  const std::string before = bench.state();
  const Error error = bench.refusal();
  CHECK(error.kind == ErrorKind::refused);
  CHECK(error.why == "nobody_here");
  CHECK(error.hint == "make it before this step: CREATE ROLE \"nobody_here\" LOGIN");
  CHECK(bench.state() == before);

  sys::write_file(bench.dump, "gone", 0644);
  CHECK(bench.preview().hints.size() == 3);
  sys::write_file(bench.dump, "\x1f\x8b", 0644);
  REQUIRE(bench.preview().problems.size() == 1);
  CHECK(bench.preview().problems[0].why == "it is compressed by gzip");
}

TEST_CASE("the moment of a dump is told, as the dump says it or as the runbook does") {
  const sys::Time before = sys::now() - std::chrono::seconds(1);
  DumpBench bench("custom directory tar plain");
  const sys::Time after = sys::now();
  const auto told = [&](const std::string& more = "") {
    sys::remove_file(bench.notes);
    const Json outputs = bench.apply(more);
    bench.undo();
    return outputs["last_commit"];
  };
  for (const std::string& dump : {bench.dump, bench.root + "/ember.directory", bench.root + "/ember.tar"}) {
    CAPTURE(dump);
    bench.dump = dump;
    const auto moment = sys::parse_time(told().get<std::string>());
    REQUIRE(moment);
    CHECK(*moment >= before);
    CHECK(*moment <= after);
    CHECK(bench.preview().summary.find(", of " + sys::show_time(*moment)) != std::string::npos);
    CHECK(told(R"("made_at":"2026-11-21T10:26:00+01:00")") == "2026-11-21T09:26:00Z");
  }

  bench.dump = bench.root + "/ember.plain";
  CHECK(told().is_null());
  REQUIRE(bench.preview().hints.size() == 1);
  CHECK(bench.preview().hints[0] ==
        "the dump does not say when it was begun, so that RPO will be unknown: write made_at");
  CHECK(told(R"("made_at":"2026-11-21T10:26:00Z")") == "2026-11-21T10:26:00Z");
  std::string text = sys::read_file(bench.dump);
  const std::string head = "-- Dumped by pg_dump";
  text.insert(text.find(head), "-- Started on 2026-11-21 10:26:00 UTC\n\n");
  sys::write_file(bench.dump, text, 0644);
  CHECK(told() == "2026-11-21T10:26:00Z");
  CHECK(bench.preview().hints.empty());
}
