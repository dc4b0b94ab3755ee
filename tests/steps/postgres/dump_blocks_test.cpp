#include "steps/postgres/lib/dump_blocks.h"

#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "steps/postgres/lib/dump_contents.h"
#include "tests/support/dump_bench.h"

using namespace relight;
using namespace relight::postgres;

TEST_CASE("a custom dump reaches its end only where nothing of its last data is missing") {
  dumps::DumpBench bench("");
  Postgres& pg = dumps::server();
  const std::string path = pg.folder() + "/walked";
  const auto last_of = [&] {
    const std::string line = parse_dump_list(pg.run("pg_restore", {"--list", path})).data.back();
    return line.substr(0, line.find(';'));
  };
  std::vector<std::string> arguments = {"--format=custom", "ember"};
  SUBCASE("large objects") {}
  SUBCASE("a table's rows") {
    arguments.emplace_back("--no-blobs");
  }
  SUBCASE("not compressed") {
    arguments.emplace_back("--compress=0");
  }
  for (const bool piped : {true, false}) {
    CAPTURE(piped);
    if (!piped) arguments.push_back("--file=" + path);
    sys::remove_tree(path);
    const std::string told = pg.run("pg_dump", arguments);
    const std::string bytes = piped ? told : sys::read_file(path);
    const auto reaches = [&](const std::string& what, const std::string& item) {
      sys::write_file(path, what, 0644);
      return reaches_end_of(path, item);
    };
    sys::write_file(path, bytes, 0644);
    const std::string last = last_of();
    CHECK(reaches(bytes, last));
    CHECK_FALSE(reaches(bytes, "1"));
    for (std::size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 200)
      CHECK_FALSE(reaches(bytes.substr(0, length), last));
    for (std::size_t missing = 1; missing < 40; ++missing)
      CHECK_FALSE(reaches(bytes.substr(0, bytes.size() - missing), last));
    // Of a version that is not known it says nothing.
    std::string newer = bytes;
    newer[6] = 17;
    CHECK_FALSE(reaches(newer, last));
  }
}
