#include "steps/blobs/lib/manifest.h"

#include <doctest/doctest.h>

#include "runner/sys/error.h"

using namespace relight;
using namespace relight::blobs;

namespace {
const std::string one(64, '1'), two(64, '2'), letters(64, 'A');

std::string fault_of(const std::string& text) {
  try {
    parse_manifest(text, "/b/MANIFEST");
  } catch (const Error& error) {
    CHECK(error.kind == ErrorKind::refused);
    return error.what();
  }
  return "";
}
}  // namespace

TEST_CASE("a manifest is what sha256sum writes") {
  const Hashes manifest =
      parse_manifest(one + "  ./a//b\n" + letters + " *c d\r\n\n\\" + two + "  new\\nline\\\\", "m");
  CHECK(manifest == Hashes{{"a/b", one}, {"c d", std::string(64, 'a')}, {"new\nline\\", two}});
  CHECK(parse_manifest("", "m").empty());
  CHECK(parse_manifest(one + "  a\n" + one + "  ./a\n", "m").size() == 1);
}

TEST_CASE("a fault of a manifest names its line") {
  const std::string start = "cannot read the manifest: /b/MANIFEST:2: ";
  const std::string first = one + "  a\n";
  CHECK(fault_of(first + "hello") == start + "the line does not begin with a SHA-256 of 64 hex digits");
  CHECK(fault_of(first + one.substr(1)) == start + "the line does not begin with a SHA-256 of 64 hex digits");
  CHECK(fault_of(first + one + " b") == start + "two spaces and a path must follow the hash");
  CHECK(fault_of(first + one + "  ../b") == start + "the path ../b is not below the folder of the blobs");
  CHECK(fault_of(first + one + "  /b") == start + "the path /b is not below the folder of the blobs");
  CHECK(fault_of(first + one + "  ./") == start + "the path ./ is not below the folder of the blobs");
  CHECK(fault_of(first + two + "  a") == start + "a is listed twice with different hashes");
  CHECK(fault_of(first + "\\" + one + "  a\\t") == start + "a path with an unknown escape");
}

TEST_CASE("differences are named by kind, and only some of many") {
  const Differences differences = compare({{"a", one}, {"b", one}, {"c", one}, {"d", one}},
                                          {{"a", one}, {"b", two}, {"d", ""}, {"e", one}});
  CHECK(differences.different == std::vector<std::string>{"b"});
  CHECK(differences.missing == std::vector<std::string>{"c"});
  CHECK(differences.extra == std::vector<std::string>{"e"});
  CHECK(show(differences) == "different: b; missing: c; not in the manifest: e");
  CHECK_FALSE(compare({{"a", one}}, {{"a", one}}).any());

  std::vector<std::string> many;
  for (char name = 'a'; name < 'm'; ++name) many.push_back(std::string(1, name));
  CHECK(some_of(many) == "a, b, c, d, e, f, g, h, i, j and 2 more");
}
