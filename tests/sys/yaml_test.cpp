#include "runner/sys/yaml.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "tests/support/error.h"

using namespace relight;
using namespace relight::sys;

namespace {
// What the span of the value of `image` covers.
std::string image_in(const std::string& text) {
  const Yaml yaml(text, "x.yml");
  const auto [begin, end] = yaml.span(*yaml.root()->field("image"));
  return text.substr(begin, end - begin);
}
}  // namespace

TEST_CASE("a scalar's bytes are found, whatever stands around them") {
  for (const std::string text :
       {"image: app:1\n", "image:   app:1   # the app\n", "image: 'app:1'\n", "image: \"app:1\"\r\nx: 1\r\n",
        "\xEF\xBB\xBFimage: app:1\n", "note: \"h\xC3\xA9 \xE2\x82\xAC\"\nimage: app:1\n",
        "image: &here app:1\n", "image: !!str app:1\n", "{note: a, image: app:1}",
        "image: &a 'app:1'\nalso: *a\n", "image: app:1"})
    CHECK_MESSAGE(image_in(text) == "app:1", text);
}

TEST_CASE("a scalar that is not written as it is read has no span") {
  CHECK(image_in("image: \"app\\u003A1\"\n") == "");
  CHECK(image_in("image: >-\n  app\n  more\n") == "");
  CHECK(image_in("image: ''\n") == "");
}

TEST_CASE("an alias is the node that it names, and a key that stands twice counts the last time") {
  const Yaml yaml("a: &x {image: one}\nb: *x\na: &y {image: two}\n", "x.yml");
  CHECK(yaml.root()->field("b")->field("image")->value == "one");
  CHECK(yaml.root()->field("a")->field("image")->value == "two");
  CHECK(yaml.root()->field("b")->field("image")->line == 1);
}

TEST_CASE("what is no single YAML document of UTF-8 is refused, with the line") {
  CHECK(told_error([] {
          Yaml("a: 1\n b: [\n", "x.yml");
        }).find("refused: the file does not parse: x.yml: line") == 0);
  CHECK(told_error([] { Yaml("a: 1\n---\nb: 2\n", "x.yml"); }) ==
        "refused: the file does not parse: x.yml: it holds more than one document");
  CHECK(told_error([] { Yaml("a: \xFF\n", "x.yml"); }) ==
        "refused: the file does not parse: x.yml: it is not UTF-8");
  CHECK(told_error([] { json_of(Yaml("a: &a\n  b: *a\n", "x.yml"), "x.yml"); }) ==
        "refused: the file does not parse: x.yml: its aliases hold one another");
}

TEST_CASE("as JSON every scalar is a text") {
  CHECK(json_of(Yaml("a: 1\nb: [true, '2', ~]\nc: {d: x}\n", "x.yml"), "x.yml") ==
        Json{{"a", "1"}, {"b", {"true", "2", "~"}}, {"c", {{"d", "x"}}}});
  CHECK(json_of(Yaml("", "x.yml"), "x.yml") == Json::object());
}
