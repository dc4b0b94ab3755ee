#include "runner/journal/record.h"

#include <doctest/doctest.h>

#include "runner/sys/digest.h"
#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

using namespace relight;

namespace {

const std::string zeros(64, '0');

const Json body = {{"kind", "started"},
                   {"step", "database"},
                   {"attempt", 1},
                   {"wall", "2026-11-21T10:26:00.123456Z"},
                   {"boot", 8123456}};

}  // namespace

TEST_CASE("a line has the form that the header shows") {
  Line line = make_line(body, 7, 3, 1, 2, zeros);
  std::string hashed =
      R"({"seq":7,"batch":3,"of":[1,2],"wall":"2026-11-21T10:26:00.123456Z","boot":8123456,"kind":"started",)"
      R"("attempt":1,"step":"database","prev":")" +
      zeros + '"';
  CHECK(line.hash == sys::sha256_hex(hashed));
  CHECK(line.text == hashed + R"(,"hash":")" + line.hash + "\"}");
  CHECK(own_hash(line.text) == line.hash);
  CHECK(Json::parse(line.text)["of"] == Json({1, 2}));
}

TEST_CASE("a body without a time gets that of now") {
  Json record = Json::parse(make_line({{"kind", "settled"}}, 1, 1, 1, 1, zeros).text);
  CHECK(record["boot"] > 0);
  CHECK(sys::parse_time(record["wall"].get<std::string>()).has_value());
}

TEST_CASE("a changed byte anywhere is seen") {
  std::string text = make_line(body, 1, 1, 1, 1, zeros).text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string flipped = text;
    flipped[i] ^= 1;
    CHECK(own_hash(flipped).empty());
  }
  CHECK(own_hash(text.substr(1)).empty());
  CHECK(own_hash(text.substr(0, text.size() - 1)).empty());
  CHECK(own_hash("").empty());
}

TEST_CASE("content never makes writing fail, and cannot look like a line's end") {
  Json odd = {{"kind", "finished"},
              {"outputs",
               {{"raw",
                 "a\xff"
                 "b\nc\0d"},
                {"hash", zeros},
                {"text", ",\"hash\":\"" + zeros + "\"}"}}}};
  Line line = make_line(odd, 1, 1, 1, 1, zeros);
  CHECK(line.text.find('\n') == std::string::npos);
  CHECK(own_hash(line.text) == line.hash);
  Json record = Json::parse(line.text);
  CHECK(record["outputs"]["raw"] ==
        "a\xEF\xBF\xBD"
        "b\nc");
  CHECK(record["outputs"]["hash"] == zeros);
}

TEST_CASE("a body is refused that has no kind, or what is the writer's") {
  CHECK_THROWS_WITH_AS(make_members({{"step", "a"}}), "cannot write a record of the journal: it has no kind",
                       Error);
  for (const char* name : {"seq", "batch", "of", "prev", "hash"}) {
    Json bad = {{"kind", "note"}, {name, 1}};
    std::string text = std::string("cannot write a record of the journal: note: it has a member named `") +
                       name + "`, which is the writer's own";
    CHECK_THROWS_WITH_AS(make_members(bad), text.c_str(), Error);
  }
}
