// Packing a folder, and unpacking it again.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "runner/sys/archive.h"
#include "runner/sys/archive_writer.h"
#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/process.h"

using namespace relight;

namespace {

struct Bench {
  sys::TempFolder temp;
  std::string from = temp.path() + "/from", into = temp.path() + "/into";

  Bench() {
    sys::make_folders(into);
    sys::Command command;
    command.argv = {
        "/bin/bash", "-ec",
        "mkdir -p from/3f/deep from/empty && cd from && echo one >3f/one && ln 3f/one 3f/same\n"
        "head -c 3000000 /dev/urandom >3f/deep/large && : >nothing && ln -s 3f/one link\n"
        "echo x >'with space' && echo y >$'new\\nline' && echo z >stra\xc3\x9f"
        "e\n"
        "chmod 4750 'with space' && chown 1234:1235 3f/one && chmod 710 3f\n"
        "touch -h -d 2016-01-02T03:04:05.123456789Z link 3f/one && touch -d 1999-12-31T23:59:58.5Z nothing\n"
        "touch -d 2016-01-02 3f/deep empty 3f ."};
    command.cwd = temp.path();
    sys::output_of(command, "cannot prepare a test");
  }
  std::string archive(const std::string& suffix) const { return temp.path() + "/packed" + suffix; }
  sys::Packed pack(const std::string& suffix, sys::Packing packing,
                   const sys::PackOptions& options = {}) const {
    return sys::pack(from, archive(suffix), packing, options);
  }
};

}  // namespace

TEST_CASE("what is packed is unpacked the same") {
  for (const auto& [suffix, packing] : {std::pair{".tar.zst", sys::Packing::tar_zst},
                                        {".tar.gz", sys::Packing::tar_gz},
                                        {".zip", sys::Packing::zip}}) {
    CAPTURE(suffix);
    const Bench bench;
    std::map<std::string, std::string> hashes;
    sys::PackOptions options;
    options.hashed = [&](const sys::Entry& entry, const std::string& hash) { hashes[entry.path] = hash; };
    const sys::Packed packed = bench.pack(suffix, packing, options);
    CHECK(packed.files == hashes.size());
    CHECK(hashes.size() == 7);
    for (const auto& [path, hash] : hashes) CHECK(sys::sha256_file(bench.from + "/" + path) == hash);
    struct stat status;
    REQUIRE(stat(bench.archive(suffix).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);

    sys::unpack(bench.archive(suffix), bench.into, {});
    if (packing != sys::Packing::zip) {
      CHECK(sys::tree_digest(bench.into + "/3f") == sys::tree_digest(bench.from + "/3f"));
      CHECK(sys::tree_digest(bench.into) == sys::tree_digest(bench.from));
      struct stat one, same;
      REQUIRE(stat((bench.into + "/3f/one").c_str(), &one) == 0);
      REQUIRE(stat((bench.into + "/3f/same").c_str(), &same) == 0);
      CHECK(one.st_ino == same.st_ino);
    }
    for (const auto& [path, hash] : hashes) CHECK(sys::sha256_file(bench.into + "/" + path) == hash);
  }
}

TEST_CASE("the same folder makes the same archive, and other programs read it") {
  const Bench bench;
  bench.pack(".tar.gz", sys::Packing::tar_gz);
  const std::string first = sys::sha256_file(bench.archive(".tar.gz"));
  sys::remove_file(bench.archive(".tar.gz"));
  bench.pack(".tar.gz", sys::Packing::tar_gz);
  CHECK(sys::sha256_file(bench.archive(".tar.gz")) == first);
  sys::Command tar;
  tar.argv = {"tar", "-C", bench.into, "-xzf", bench.archive(".tar.gz")};
  sys::output_of(tar, "cannot unpack by tar");
  CHECK(sys::tree_digest(bench.into) == sys::tree_digest(bench.from));
}

TEST_CASE("a name that is no UTF-8 goes into a tar as it is, and into no zip") {
  const Bench bench;
  sys::write_file(bench.from + "/\xff\xfe", "odd", 0644);
  bench.pack(".tar.zst", sys::Packing::tar_zst);
  sys::unpack(bench.archive(".tar.zst"), bench.into, {});
  CHECK(sys::read_file(bench.into + "/\xff\xfe") == "odd");
  CHECK_THROWS_WITH_AS(bench.pack(".zip", sys::Packing::zip), doctest::Contains("a zip holds names in UTF-8"),
                       Error);
}

TEST_CASE("what changes while it is read is told, and no archive is taken for whole") {
  const Bench bench;
  const std::string large = bench.from + "/3f/deep/large";
  const auto while_read = [&](const std::function<void()>& change) {
    sys::PackOptions options;
    bool done = false;
    options.progress = [&](std::uint64_t, std::uint64_t bytes) {
      if (bytes > 1u << 20 && !std::exchange(done, true)) change();
    };
    sys::remove_file(bench.archive(".tar.zst"));
    bench.pack(".tar.zst", sys::Packing::tar_zst, options);
  };
  CHECK_THROWS_WITH_AS(while_read([&] { CHECK(truncate(large.c_str(), 10) == 0); }),
                       doctest::Contains("it became shorter while it was read"), Error);
  sys::write_file(large, std::string(3000000, 'x'), 0644);
  CHECK_THROWS_WITH_AS(while_read([&] {
                         const sys::Fd fd(open(large.c_str(), O_WRONLY));
                         CHECK(pwrite(fd.get(), "y", 1, 5) == 1);
                       }),
                       doctest::Contains("it was written to while it was read"), Error);
  CHECK(mkfifo((bench.from + "/pipe").c_str(), 0600) == 0);
  sys::remove_file(bench.archive(".tar.zst"));
  CHECK_THROWS_WITH_AS(bench.pack(".tar.zst", sys::Packing::tar_zst),
                       doctest::Contains("device, fifo or socket"), Error);
}
