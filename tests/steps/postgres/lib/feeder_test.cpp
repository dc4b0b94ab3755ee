// What a recovering server gets of the archive: the program as the server runs it, against a real archive.
#include "steps/postgres/lib/feeder.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <optional>

#include "runner/sys/files.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/settings.h"
#include "tests/support/recovery.h"

using namespace relight;
using namespace relight::postgres;

namespace {

constexpr std::uint64_t megabyte = 1u << 20;

// Segments as they are archived, each packed in another way.
struct Fed {
  Fed() {
    Source source;
    for (int i = 0; i < 24; ++i) {
      source.insert(i);
      source.server.archive_now();
    }
    for (const std::string& name : sys::names_in(source.server.archive_folder())) {
      if (name.size() != 24) continue;
      plain.push_back(sys::read_file(source.server.archive_folder() + "/" + name));
      names.push_back(name);
      const std::string to = archived() + "/" + name;
      sys::write_file(to, plain.back(), 0600);
      const char* const packers[] = {"", "gzip", "zstd", "lz4"};
      const std::string packer = packers[names.size() % 4];
      if (!packer.empty()) pack(packer, to);
    }
    sys::write_file(archived() + "/00000002.history", "1\t0/5000000\tbecause\n", 0600);
    sys::make_folders(data() + "/" + work_folder, 0700);
  }

  static void pack(const std::string& packer, const std::string& path) {
    sys::Command command;
    command.argv = {packer, "-q", path};
    if (packer == "lz4") command.argv.push_back(path + ".lz4");
    sys::output_of(command, "cannot pack a segment");
    sys::remove_file(path);
  }

  // `gone`: taken away between the look into the archive and the recovery.
  void feed(const std::string& gone = "") {
    std::vector<Problem> problems;
    archive.emplace(std::vector<std::string>{archived()}, problems);
    if (!gone.empty()) sys::remove_file(gone);
    std::vector<Handed> files;
    for (const std::string& name : names) files.push_back({name, name});
    feeder.emplace(*archive, files, megabyte, data());
  }

  // As the server does it, in its data directory: 0, where it then finds what it asked for.
  int ask(const std::string& name) {
    sys::remove_file(data() + "/got");
    sys::Command command;
    command.argv = {data() + "/" + work_folder + "/restore-wal", name, "got"};
    command.cwd = data();
    const int exit = sys::run(command).exit_code;
    found = exit == 0 ? data() + "/got" : data() + "/pg_wal/" + name;
    return exit == 1 && sys::exists(found) ? 0 : exit;
  }
  std::string got() const { return sys::read_file(found); }

  std::string archived() const { return folder.path(); }
  std::string data() const { return place.path(); }
  sys::TempFolder folder, place;
  std::vector<std::string> names, plain;
  std::string found;
  std::optional<WalArchive> archive;
  std::optional<Feeder> feeder;
};

}  // namespace

TEST_CASE("every segment is handed out as it was, in order, again, and out of order") {
  Fed fed;
  fed.feed();
  REQUIRE(fed.names.size() > 16);
  for (std::size_t i = 0; i < fed.names.size(); ++i) {
    CAPTURE(fed.names[i]);
    for (int times = 0; times < (i % 5 == 0 ? 2 : 1); ++times) {
      REQUIRE(fed.ask(fed.names[i]) == 0);
      CHECK(fed.got() == fed.plain[i]);
    }
  }
  REQUIRE(fed.ask(fed.names[2]) == 0);
  CHECK(fed.got() == fed.plain[2]);
  CHECK(fed.ask("00000002.history") == 0);
  CHECK(fed.got() == "1\t0/5000000\tbecause\n");
  CHECK(fed.ask("00000003.history") == 1);
  CHECK(fed.ask("0000000100000000000000FF") == 1);
  CHECK(fed.ask("../../etc/passwd") == 1);
}

TEST_CASE("what is handed out is a copy of the server's own, made again where it is gone; a few lie ready") {
  Fed fed;
  fed.feed();
  for (std::size_t i = 0; i < 6; ++i) {
    REQUIRE(fed.ask(fed.names[i]) == 0);
    struct stat status {};
    REQUIRE(stat(fed.found.c_str(), &status) == 0);
    CHECK(status.st_nlink == 1);
    // What the operator's server does not archive again.
    CHECK(sys::exists(fed.data() + "/pg_wal/archive_status/" + fed.names[i] + ".done"));
    sys::remove_file(fed.found);
    CHECK(sys::names_in(fed.data() + "/pg_wal").size() <= 10);
  }
  REQUIRE(fed.ask(fed.names[0]) == 0);
  CHECK(fed.got() == fed.plain[0]);
}

TEST_CASE("a segment of which the one in pg_wal is the last is handed out as it lies there") {
  Fed fed;
  fed.feed();
  REQUIRE(fed.ask(fed.names[0]) == 0);
  fed.feeder.reset();
  struct stat before {
  }, after{};
  REQUIRE(stat(fed.found.c_str(), &before) == 0);
  std::vector<Problem> problems;
  const WalArchive own({fed.data() + "/pg_wal"}, problems);
  const std::vector<Handed> files = {{fed.names[0], fed.names[0]}};
  fed.feeder.emplace(own, files, megabyte, fed.data());
  REQUIRE(fed.ask(fed.names[0]) == 0);
  CHECK(fed.got() == fed.plain[0]);
  REQUIRE(stat(fed.found.c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
  fed.feeder.reset();
}

TEST_CASE(
    "a segment that is damaged, cut, foreign or gone ends the recovery, and so does a feeder that is gone") {
  for (const std::string how : {"cut", "foreign", "gone", "packed badly"}) {
    CAPTURE(how);
    Fed fed;
    const std::string victim = fed.archived() + "/" + fed.names[3];  // plain
    REQUIRE(sys::exists(victim));
    if (how == "cut") sys::write_file(victim, fed.plain[3].substr(0, megabyte / 2), 0600);
    if (how == "foreign") sys::write_file(victim, fed.plain[5], 0600);
    if (how == "packed badly") {
      Fed::pack("gzip", victim);
      std::string bytes = sys::read_file(victim + ".gz");
      bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
      sys::write_file(victim + ".gz", bytes, 0600);
    }
    fed.feed(how == "gone" ? victim : "");
    CHECK(fed.ask(fed.names[2]) == 0);
    const int exit = fed.ask(fed.names[3]);
    CHECK(exit > 125);
  }
  Fed fed;
  fed.feed();
  CHECK(fed.ask(fed.names[0]) == 0);
  fed.feeder.reset();
  CHECK(fed.ask(fed.names[1]) == 200);
}
