#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "runner/sys/archive.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "tests/support/archive.h"
#include "tests/support/error.h"
#include "tests/support/postgres.h"

using namespace relight;
using namespace relight::sys;

namespace {

// An archive beside an empty folder to unpack it into.
struct Bench {
  TempFolder folder;
  std::string archive = folder.path() + "/t.tar", into = folder.path() + "/into";
  // In memory: every unpacking syncs its whole file system, which others are writing to.
  Bench() {
    REQUIRE(::mount("none", folder.path().c_str(), "tmpfs", 0, "size=256m") == 0);
    make_folders(into);
  }
  ~Bench() { ::umount2(folder.path().c_str(), MNT_DETACH); }
  Bench(const Bench&) = delete;

  Error refused(const std::vector<MadeEntry>& entries) {
    make_archive(archive, entries);
    return error_of([&] { unpack(archive, into, {}); });
  }
};

}  // namespace

TEST_CASE("a tree comes out of every form as it went in") {
  Bench bench;
  const std::string from = bench.folder.path() + "/from";
  make_folders(from + "/sub/deep", 0750);
  make_folders(from + "/closed", 0500);
  REQUIRE(::chmod(from.c_str(), 0711) == 0);
  write_file(from + "/a", "bytes of a", 0640, Owner{1, 2});
  write_file(from + "/sub/empty", "", 0600);
  write_file(from + "/sub/deep/large", noise(3000000), 04755);
  write_file(from + "/sub/piece", noise(256u << 10), 0600);  // as long as the unit that is handed on
  REQUIRE(::link((from + "/a").c_str(), (from + "/sub/a2").c_str()) == 0);
  REQUIRE(::symlink("../a", (from + "/sub/link").c_str()) == 0);
  REQUIRE(::symlink("/etc", (from + "/outside").c_str()) == 0);
  const std::string expected = tree_digest(from), in = "tar -C " + from + " --format=pax -c . ";
  for (const std::string& form : {in, in + "| gzip", in + "| zstd -q", in + "| lz4 -q", in + "| xz -0"}) {
    CAPTURE(form);
    REQUIRE(std::system((form + " > " + bench.archive).c_str()) == 0);
    std::map<std::string, std::string> hashes;
    std::uint64_t files = 0, bytes = 0;
    const Unpacked done = unpack(
        bench.archive, bench.into,
        {.each = {},
         .hashed = [&](const ArchiveEntry& entry, const std::string& hex) { hashes[entry.path] = hex; },
         .progress = [&](std::uint64_t f, std::uint64_t b) { files = f, bytes = b; },
         .stop = {}});
    CHECK(tree_digest(bench.into) == expected);
    CHECK(done.files + done.links == 7);
    CHECK(done.links == 3);
    CHECK(done.folders == 4);
    CHECK(done.bytes == 10 + 3000000 + (256u << 10));
    CHECK(files == done.files);
    CHECK(bytes == done.bytes);
    CHECK(hashes.size() == 4);
    for (const auto& [path, hex] : hashes) CHECK(hex == sha256_file(from + "/" + path));
    struct stat a, a2;
    REQUIRE(::stat((bench.into + "/a").c_str(), &a) == 0);
    REQUIRE(::stat((bench.into + "/sub/a2").c_str(), &a2) == 0);
    CHECK(a.st_ino == a2.st_ino);
    remove_tree(bench.into);
    make_folders(bench.into);
  }
  // The same from the tree itself.
  std::size_t hashed = 0;
  const Unpacked done = copy_checked(from, bench.into,
                                     {.each = {},
                                      .hashed =
                                          [&](const ArchiveEntry& entry, const std::string& hex) {
                                            ++hashed;
                                            CHECK(hex == sha256_file(from + "/" + entry.path));
                                          },
                                      .progress = {},
                                      .stop = {}});
  CHECK(tree_digest(bench.into) == expected);
  CHECK(hashed == 4);
  CHECK(done.files == 4);
  CHECK(done.links == 3);
}

TEST_CASE("zip: modes, links and large files") {
  Bench bench;
  const std::string from = bench.folder.path() + "/from", zip = bench.folder.path() + "/t.zip";
  make_folders(from + "/sub");
  write_file(from + "/sub/a", noise(1000000), 0640);
  write_file(from + "/zeros", std::string(1000000, '\0'), 0755);
  REQUIRE(::symlink("sub/a", (from + "/link").c_str()) == 0);
  REQUIRE(std::system(("cd " + from + " && zip -qry " + zip + " .").c_str()) == 0);
  unpack(zip, bench.into,
         {.each = {},
          .hashed = [&](const ArchiveEntry& entry,
                        const std::string& hex) { CHECK(hex == sha256_file(from + "/" + entry.path)); },
          .progress = {},
          .stop = {}});
  CHECK(read_file(bench.into + "/sub/a") == noise(1000000));
  CHECK(read_file(bench.into + "/link") == noise(1000000));
  struct stat info;
  REQUIRE(::stat((bench.into + "/zeros").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0755);
}

TEST_CASE("nothing is written outside of the folder") {
  const auto in = [](const Bench& bench) { return bench.folder.path(); };
  SUBCASE("by ..") {
    Bench bench;
    const Error error = bench.refused({{"ok", AE_IFREG, "1"}, {"../escaped", AE_IFREG, "x"}});
    CHECK(error.kind == ErrorKind::refused);
    CHECK(error.why == "the entry ../escaped leads out of the folder");
    CHECK_FALSE(exists(in(bench) + "/escaped"));
  }
  SUBCASE("by an absolute path") {
    Bench bench;
    const Error error = bench.refused({{in(bench) + "/escaped", AE_IFREG, "x"}});
    CHECK(error.kind == ErrorKind::refused);
    CHECK_FALSE(exists(in(bench) + "/escaped"));
  }
  SUBCASE("by a link to a folder outside") {
    Bench bench;
    make_folders(in(bench) + "/outside");
    for (const char* text : {"../outside", ".", "/"}) {
      CAPTURE(text);
      const Error error = bench.refused({{"l", AE_IFLNK, text}, {"l/escaped", AE_IFREG, "x"}});
      CHECK(error.kind == ErrorKind::refused);
      CHECK(error.on == bench.into + "/l");
      CHECK(error.why == "its path leads through a link or a file of the archive");
      remove_tree(bench.into);
      make_folders(bench.into);
    }
    CHECK_FALSE(exists(in(bench) + "/outside/escaped"));
    CHECK_FALSE(exists("/escaped"));
  }
  SUBCASE("by a link that a folder's or a file's entry would be written through") {
    Bench bench;
    make_folders(in(bench) + "/outside", 0700);
    write_file(in(bench) + "/victim", "whole", 0600);
    CHECK(bench.refused({{"l", AE_IFLNK, "../outside"}, {"l/", AE_IFDIR}}).kind == ErrorKind::refused);
    struct stat info;
    REQUIRE(::stat((in(bench) + "/outside").c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0700);
    remove_tree(bench.into);
    make_folders(bench.into);
    CHECK(bench.refused({{"f", AE_IFLNK, "../victim"}, {"f", AE_IFREG, "own"}}).failed == "no error");
    CHECK(read_file(bench.into + "/f") == "own");  // in the link's place
    CHECK(read_file(in(bench) + "/victim") == "whole");
  }
  SUBCASE("by a hard link") {
    Bench bench;
    write_file(in(bench) + "/victim", "whole", 0600);
    for (const std::string& text : {std::string("../victim"), in(bench) + "/victim"}) {
      CAPTURE(text);
      CHECK(bench.refused({{"h", AE_IFREG, text, true}, {"h", AE_IFREG, "x"}}).kind == ErrorKind::refused);
      remove_tree(bench.into);
      make_folders(bench.into);
    }
    CHECK(bench.refused({{"l", AE_IFLNK, ".."}, {"h", AE_IFREG, "l/victim", true}}).kind ==
          ErrorKind::refused);
    CHECK(read_file(in(bench) + "/victim") == "whole");
  }
  SUBCASE("nor a device or a fifo made") {
    for (const int type : {AE_IFCHR, AE_IFBLK, AE_IFIFO}) {
      Bench bench;
      const Error error = bench.refused({{"d", type}});
      CHECK(error.kind == ErrorKind::refused);
      CHECK(error.why == "it is a device, a fifo or a socket");
      CHECK_FALSE(exists(bench.into + "/d"));
    }
  }
}

TEST_CASE("a damaged archive is told at its end, whatever was written by then") {
  Bench bench;
  make_archive(bench.folder.path() + "/t.tar.gz", {{"a", AE_IFREG, noise(2000000)}, {"b", AE_IFREG, "x"}});
  std::string bytes = read_file(bench.folder.path() + "/t.tar.gz");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(bench.folder.path() + "/t.tar.gz", bytes, 0600);
  const Error error = error_of([&] { unpack(bench.folder.path() + "/t.tar.gz", bench.into, {}); });
  CHECK(error.kind == ErrorKind::permanent);
  CHECK(error.on == bench.folder.path() + "/t.tar.gz");
}

TEST_CASE("the callbacks: leave out, rename, own, stop, throw") {
  Bench bench;
  make_archive(bench.archive, {{"keep", AE_IFREG, "k"},
                               {"drop", AE_IFREG, "d"},
                               {"l", AE_IFLNK, "old"},
                               {"large", AE_IFREG, noise(3000000)}});
  unpack(bench.archive, bench.into,
         {.each =
              [](ArchiveEntry& entry) {
                if (entry.path == "keep")
                  entry.path = "deep/er/kept", entry.owner = {7, 8}, entry.mode = 0604;
                if (entry.kind == 'l') entry.link = "new";
                return entry.path != "drop";
              },
          .hashed = {},
          .progress = {},
          .stop = {}});
  struct stat info;
  REQUIRE(::stat((bench.into + "/deep/er/kept").c_str(), &info) == 0);
  CHECK(info.st_uid == 7);
  CHECK(info.st_gid == 8);
  CHECK((info.st_mode & 07777) == 0604);
  CHECK_FALSE(exists(bench.into + "/drop"));
  char text[16] = {};
  REQUIRE(::readlink((bench.into + "/l").c_str(), text, sizeof text) == 3);
  CHECK(std::string(text) == "new");

  CHECK(error_of([&] { unpack(bench.archive, bench.into, {}); }).why == "it is not empty");
  const auto afresh = [&](const UnpackOptions& options) {
    remove_tree(bench.into);
    make_folders(bench.into);
    unpack(bench.archive, bench.into, options);
  };
  const Error stopped =
      error_of([&] { afresh({.each = {}, .hashed = {}, .progress = {}, .stop = [] { return true; }}); });
  CHECK(stopped.kind == ErrorKind::transient);
  CHECK(stopped.why == "told to stop");
  CHECK_THROWS_AS(
      afresh({.each = [](ArchiveEntry&) -> bool { throw 1; }, .hashed = {}, .progress = {}, .stop = {}}),
      int);
  CHECK_THROWS_AS(afresh({.each = {},
                          .hashed = [](const ArchiveEntry&, const std::string&) { throw 1; },
                          .progress = {},
                          .stop = {}}),
                  int);
  CHECK_THROWS_AS(afresh({.each = {}, .hashed = {}, .progress = {}, .stop = []() -> bool { throw 1; }}), int);
}

TEST_CASE("owners are kept only where asked, and set-uid bits only with them") {
  Bench bench;
  const std::string from = bench.folder.path() + "/from";
  make_folders(from);
  write_file(from + "/a", "a", 04711, Owner{1, 2});
  copy_checked(from, bench.into,
               {.each = {}, .hashed = {}, .progress = {}, .stop = {}, .keep_owners = false});
  struct stat info;
  REQUIRE(::stat((bench.into + "/a").c_str(), &info) == 0);
  CHECK(info.st_uid == 0);
  CHECK((info.st_mode & 07777) == 0711);
}

TEST_CASE("holes stay holes, and hash as zeros") {
  Bench bench;
  const std::string from = bench.folder.path() + "/from";
  make_folders(from);
  Fd hole(::open((from + "/hole").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::pwrite(hole.get(), "middle", 6, 8 << 20) == 6);
  REQUIRE(::ftruncate(hole.get(), 16 << 20) == 0);
  const std::string hash = sha256_file(from + "/hole");
  REQUIRE(std::system(("tar -C " + from + " --sparse --format=pax -cf " + bench.archive + " .").c_str()) ==
          0);
  std::string seen;
  std::optional<Sha256> blocks(std::in_place);
  const UnpackOptions options{
      .each = {},
      .block = [&](const ArchiveEntry&, std::string_view bytes) { blocks->add(bytes); },
      .hashed = [&](const ArchiveEntry&, const std::string& hex) { seen += hex; },
      .progress = {},
      .stop = {}};
  struct stat info;
  unpack(bench.archive, bench.into, options);
  CHECK(seen == hash);
  CHECK(blocks->hex() == hash);
  blocks.emplace();
  REQUIRE(::stat((bench.into + "/hole").c_str(), &info) == 0);
  CHECK(info.st_size == 16 << 20);
  CHECK(info.st_blocks * 512 < 1 << 20);
  remove_tree(bench.into);
  make_folders(bench.into);
  copy_checked(from, bench.into, options);
  CHECK(seen == hash + hash);
  CHECK(blocks->hex() == hash);
  REQUIRE(::stat((bench.into + "/hole").c_str(), &info) == 0);
  CHECK(info.st_blocks * 512 < 1 << 20);
  CHECK(sha256_file(bench.into + "/hole") == hash);
}

TEST_CASE("a full disk is told, by the file that did not fit") {
  Bench bench;
  make_archive(bench.archive, {{"small", AE_IFREG, "s"}, {"large", AE_IFREG, noise(3000000)}});
  REQUIRE(::mount("none", bench.into.c_str(), "tmpfs", 0, "size=256k") == 0);
  const Error error = error_of([&] { unpack(bench.archive, bench.into, {}); });
  CHECK(std::string(error.what()) == "cannot unpack: " + bench.into + "/large: No space left on device");
  CHECK(error.kind == ErrorKind::permanent);
  REQUIRE(::umount2(bench.into.c_str(), MNT_DETACH) == 0);
}

TEST_CASE("a real base backup comes out as PostgreSQL's own check wants it") {
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  const std::string backup = folder.path() + "/backup", into = folder.path() + "/into";
  Postgres postgres({.archive = true});
  postgres.execute("create table t as select generate_series(1, 10000) as a");
  CHECK(exists(postgres.archive_folder() + "/" + postgres.archive_now()));
  postgres.base_backup(backup, {"--format=tar", "--gzip", "--wal-method=none"});
  make_folders(into);
  std::size_t hashed = 0;
  unpack(backup + "/base.tar.gz", into,
         {.each = {},
          .hashed = [&](const ArchiveEntry&, const std::string&) { ++hashed; },
          .progress = {},
          .stop = {}});
  CHECK(hashed > 500);
  copy_tree(backup + "/backup_manifest", into + "/backup_manifest");
  postgres.run("pg_verifybackup", {"--no-parse-wal", into});
  CHECK_THROWS_AS(postgres.run("pg_verifybackup", {"--no-parse-wal", backup}), Error);
}
