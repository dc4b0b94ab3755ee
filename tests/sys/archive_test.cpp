#include "runner/sys/archive.h"

#include <doctest/doctest.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "runner/sys/decode.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "tests/support/archive.h"
#include "tests/support/error.h"

using namespace relight;
using namespace relight::sys;

namespace {

const std::vector<MadeEntry>& sample() {
  static const std::vector<MadeEntry> entries{{"dir/", AE_IFDIR},
                                              {"./dir/a", AE_IFREG, "bytes of a"},
                                              {"dir/empty"},
                                              {"dir/large", AE_IFREG, noise(700000)},
                                              {"link", AE_IFLNK, "dir/a"},
                                              {"dir/x/../b", AE_IFREG, "bytes of b"}};
  return entries;
}

// What an archive holds, a line an entry.
std::string list(const std::string& path) {
  ArchiveReader reader(path);
  ArchiveEntry entry;
  std::string text;
  while (reader.next(entry))
    text += std::string(1, entry.kind) + " " + entry.path + " " + std::to_string(entry.size) + "\n";
  return text;
}

void flip(const std::string& path, std::size_t at) {
  std::string bytes = read_file(path);
  REQUIRE(at < bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  write_file(path, bytes, 0600);
}

}  // namespace

TEST_CASE("every form is read, by its bytes and not by its name") {
  TempFolder folder;
  for (const char* name : {"t.tar", "t.tar.gz", "t.tar.zst", "t.tar.lz4", "t.tar.xz", "t.zip"}) {
    CAPTURE(name);
    CHECK(is_archive(name));
    const std::string path = folder.path() + "/" + name;
    make_archive(path, sample());
    rename_new(path, folder.path() + "/other");
    CHECK(list(folder.path() + "/other") ==
          "d dir 0\nf dir/a 10\nf dir/empty 0\nf dir/large 700000\nl link 0\nf dir/b 10\n");
    ArchiveReader reader(folder.path() + "/other");
    ArchiveEntry entry;
    for (int i = 0; i < 4; ++i) REQUIRE(reader.next(entry));
    CHECK(reader.read_all(700000) == noise(700000));
    CHECK(reader.read_all(10).empty());
    REQUIRE(reader.next(entry));
    CHECK(entry.link == "dir/a");
    CHECK(entry.mtime_ns == 1000000000000000000);
    REQUIRE(reader.next(entry));
    CHECK(error_of([&] { reader.read_all(9); }).kind == ErrorKind::refused);
    remove_file(folder.path() + "/other");
  }
  for (const char* name : {"tar", "a.gz", "a.tar.old", "a"}) CHECK_FALSE(is_archive(name));
}

TEST_CASE("names stay the bytes that they are") {
  // "a" with a combining diaeresis must not become one letter, and Latin-1 is no fault.
  const std::string decomposed = "nfd-a\xCC\x88", latin = "latin-\xE4", euro = "euro-\xE2\x82\xAC";
  TempFolder folder;
  make_folders(folder.path() + "/in");
  for (const std::string& name : {decomposed, latin, euro})
    write_file(folder.path() + "/in/" + name, "x", 0600);
  const std::string in = "cd " + folder.path() + "/in && ";
  REQUIRE(std::system((in + "tar --sort=name --format=pax -cf ../pax.tar *").c_str()) == 0);
  REQUIRE(std::system((in + "tar --sort=name --format=gnu -cf ../gnu.tar *").c_str()) == 0);
  const std::string expected = "f " + euro + " 1\nf " + latin + " 1\nf " + decomposed + " 1\n";
  CHECK(list(folder.path() + "/pax.tar") == expected);
  CHECK(list(folder.path() + "/gnu.tar") == expected);
}

TEST_CASE("paths within the folder") {
  CHECK(path_within("a", "./a//b/.") == "a/b");
  CHECK(path_within("a", "a/../b") == "b");
  CHECK(path_within("a", "./").empty());
  for (const char* bad : {"/etc/passwd", "..", "../a", "a/../../b", "./../a"}) {
    CAPTURE(bad);
    const Error error = error_of([&] { path_within("x.tar", bad); });
    CHECK(error.kind == ErrorKind::refused);
    CHECK(std::string(error.what()) ==
          "cannot read the archive: x.tar: the entry " + std::string(bad) + " leads out of the folder");
  }
}

TEST_CASE("a truncated archive is told, and no flipped byte changes what is read unseen") {
  TempFolder folder;
  make_archive(folder.path() + "/t.tar", {{"a", AE_IFREG, noise(5000)}, {"b", AE_IFREG, noise(3000)}});
  make_archive(folder.path() + "/t.zip", {{"a", AE_IFREG, noise(5000)}, {"b", AE_IFREG, noise(3000)}});
  REQUIRE(std::system(
              ("cd " + folder.path() + " && gzip -k t.tar && zstd -q t.tar && xz -k t.tar").c_str()) == 0);
  const auto put = [](const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::trunc | std::ios::binary) << bytes;
  };
  for (const char* name : {"t.tar", "t.tar.gz", "t.tar.zst", "t.tar.xz", "t.zip"}) {
    CAPTURE(name);
    const std::string path = folder.path() + "/" + name, whole = read_file(path);
    const auto contents = [&] {
      ArchiveReader reader(path);
      ArchiveEntry entry;
      std::string bytes;
      while (reader.next(entry)) bytes += reader.read_all(10000);
      return bytes;
    };
    CHECK(contents() == noise(5000) + noise(3000));
    const bool sums = std::string(name) != "t.tar";  // the only form without check sums of its data
    for (std::size_t size = 0; size < (sums ? whole.size() : 9728); size += 97) {
      CAPTURE(size);
      put(path, whole.substr(0, size));
      const Error error = error_of(contents);
      CHECK(error.kind == ErrorKind::permanent);
      CHECK(error.failed == "cannot read the archive");
      CHECK(error.on == path);
    }
    for (std::size_t at = 0; sums && at < whole.size(); at += 7) {
      CAPTURE(at);
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
      put(path, flipped);
      std::string got;
      try {
        got = contents();
      } catch (const Error&) {
        continue;
      }
      CHECK(got == noise(5000) + noise(3000));
    }
  }
}

TEST_CASE("the text of a broken archive names the archive, the entry and the cause") {
  TempFolder folder;
  const std::string path = folder.path() + "/t.tar.gz";
  make_archive(path, {{"first", AE_IFREG, "1"}, {"second", AE_IFREG, noise(3 << 20)}});
  make_archive(folder.path() + "/uncut.tar", {{"first", AE_IFREG, "1"}});
  const std::string whole = read_file(path);
  const auto why = [&] { return error_of([&] { list(path); }).why; };
  write_file(path, std::string_view(whole).substr(0, 2 << 20), 0600);
  CHECK(why() == "the gzip data is truncated (at the entry second)");
  // Zeros after the end mark, more than is decoded at once, and only then a wrong sum.
  const std::string in =
      "cd " + folder.path() + " && (cat uncut.tar; head -c 1000000 /dev/zero) | gzip > t.tar.gz";
  REQUIRE(std::system(in.c_str()) == 0);
  CHECK(why().empty());
  flip(path, read_file(path).size() - 6);
  CHECK(why() == "the gzip check sum is wrong: the data is damaged (at the entry first)");
  write_file(path, whole, 0600);
  flip(path, whole.size() - 6);
  CHECK(why() == "the gzip check sum is wrong: the data is damaged (at the entry second)");
  write_file(path, whole + std::string(100, '\0'), 0600);  // padding, as of a tape
  CHECK(why().empty());
  write_file(path, whole + "rest", 0600);
  CHECK(why() == "something that is not gzip follows the gzip data (at the entry second)");
  write_file(path, "", 0600);
  CHECK(why() == "it is empty");
  write_file(path, "not an archive at all, but long enough to be looked at" + std::string(1024, 'x'), 0600);
  CHECK(why() == "Unrecognized archive format (before the first entry)");
  write_file(path, read_file(folder.path() + "/uncut.tar").substr(0, 1024), 0600);
  CHECK(why() == "it is truncated: a tar's end mark is missing (at the entry first)");
  write_file(path, "\x1F\x8B", 0600);
  CHECK(why() == "the gzip data is truncated (before the first entry)");
  CHECK(error_of([&] { list(folder.path() + "/none"); }).why == "No such file or directory");
}

TEST_CASE("a time beyond what a file can have is none") {
  ArchiveReader reader(RELIGHT_SOURCE_DIR "/tests/fuzz/corpus/archive/late.tar");
  ArchiveEntry entry;
  REQUIRE(reader.next(entry));
  CHECK(entry.path == "f");
  CHECK(entry.mtime_ns == 0);
}

// As gzip -n writes it, with every optional part of a header: RFC 1952, 2.3.
std::string with_full_header(const std::string& plain) {
  std::string header = plain.substr(0, 10);
  header[3] = 0x02 | 0x04 | 0x08 | 0x10;
  header += std::string("\x0A\x00", 2) + "some extra" + std::string("a name\0a comment\0", 17);
  const std::uint32_t sum =
      crc32_gzip_refl(0, reinterpret_cast<const std::uint8_t*>(header.data()), header.size());
  header += {static_cast<char>(sum), static_cast<char>(sum >> 8)};
  return header + plain.substr(10);
}

TEST_CASE("gzip in several members, read a byte or many at a time") {
  TempFolder folder;
  const std::string path = folder.path() + "/a.gz", first = noise(70000), second = std::string(300000, 'b');
  write_file(folder.path() + "/1", first, 0600);
  write_file(folder.path() + "/2", second, 0600);
  REQUIRE(std::system(("cd " + folder.path() +
                       " && (gzip -c 1; gzip -9c 2; gzip -c /dev/null; gzip -1c 1) > a.gz;"
                       " gzip -nc 2 > 2.gz")
                          .c_str()) == 0);
  std::ofstream(path, std::ios::app) << with_full_header(read_file(folder.path() + "/2.gz"));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, std::size_t{1} << 20}) {
    for (const std::size_t out : {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20}) {
      CAPTURE(piece);
      CAPTURE(out);
      const auto decoder = open_decoder(path, piece);
      std::string bytes, buffer(out, '\0');
      while (const std::size_t got = decoder->read(buffer.data(), buffer.size()))
        bytes.append(buffer, 0, got);
      CHECK(bytes == first + second + first + second);
    }
  }
}
