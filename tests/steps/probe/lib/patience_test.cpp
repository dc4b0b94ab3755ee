#include "steps/probe/lib/patience.h"

#include <doctest/doctest.h>

#include "runner/sys/json_whole.h"
#include "steps/probe/lib/expect.h"
#include "steps/probe/lib/owner.h"
#include "tests/support/test_call.h"

using namespace relight;
using namespace std::chrono_literals;

namespace {

using Verdict = Streak::Verdict;
const Streak::Time zero{};

}  // namespace

TEST_CASE("one good answer passes, however late, and a bad one fails only after the time is up") {
  Streak streak({.within = 10s, .every = 1s, .consecutive = 1, .hold = 0ms}, zero);
  CHECK(streak.saw(false, zero) == Verdict::go_on);
  CHECK(streak.saw(false, zero + 9999ms) == Verdict::go_on);
  CHECK(streak.saw(true, zero + 11s) == Verdict::passed);
  Streak late({.within = 10s, .every = 1s, .consecutive = 1, .hold = 0ms}, zero);
  CHECK(late.saw(false, zero + 10s) == Verdict::failed);
  CHECK_FALSE(late.was_good_once());
}

TEST_CASE("asked once: the first answer decides") {
  CHECK(Streak({}, zero).saw(true, zero) == Verdict::passed);
  CHECK(Streak({}, zero).saw(false, zero) == Verdict::failed);
}

TEST_CASE("good answers in a row, and for a time; a bad one in between begins them anew") {
  Streak row({.within = 10s, .every = 1s, .consecutive = 3, .hold = 0ms}, zero);
  for (bool good : {true, true, false, true, true}) CHECK(row.saw(good, zero) == Verdict::go_on);
  CHECK(row.saw(true, zero) == Verdict::passed);

  Streak held({.within = 10s, .every = 1s, .consecutive = 2, .hold = 5s}, zero);
  CHECK(held.saw(true, zero + 6s) == Verdict::go_on);
  CHECK(held.saw(true, zero + 8s) == Verdict::go_on);
  CHECK(held.saw(false, zero + 9s) == Verdict::go_on);
  CHECK(held.saw(true, zero + 9500ms) == Verdict::go_on);
  CHECK(held.saw(true, zero + 14s) == Verdict::go_on);
  CHECK(held.saw(true, zero + 14500ms) == Verdict::passed);

  Streak broken({.within = 10s, .every = 1s, .consecutive = 1, .hold = 5s}, zero);
  CHECK(broken.saw(true, zero + 9s) == Verdict::go_on);
  CHECK(broken.saw(false, zero + 13s) == Verdict::failed);
  CHECK(broken.was_good_once());
}

TEST_CASE("asking ends with what was seen last, at a stop, and at once where waiting is no use") {
  TestCall call;
  const Patience brief{.within = 1s, .every = 5ms, .consecutive = 1, .hold = 0ms};
  int asked = 0;
  CHECK_THROWS_WITH_AS(
      ask_until_passed(call, brief, "the thing", "a hint",
                       [&]() -> std::string {
                         if (++asked == 1) return "at first this";
                         throw Error(ErrorKind::transient, "cannot ask", "it", "refused");
                       }),
      "the probe did not pass: the thing: not within 1.0s; last seen: cannot ask: it: refused", Error);
  CHECK(asked > 1);
  CHECK(call.lines[0] == "not yet: at first this");
  const Patience once;
  CHECK_THROWS_WITH_AS(ask_until_passed(call, once, "it", "", [] { return std::string("bad"); }),
                       "the probe did not pass: it: bad", Error);
  const Patience long_one{.within = 1h, .every = 5ms, .consecutive = 1, .hold = 0ms};
  CHECK_THROWS_WITH_AS(
      ask_until_passed(
          call, long_one, "it", "",
          []() -> std::string { throw Hopeless{Error(ErrorKind::permanent, "gone", "it", "for good")}; }),
      "gone: it: for good", Error);
  CHECK_THROWS_AS(ask_until_passed(call, long_one, "it", "",
                                   [&] {
                                     call.stop = true;
                                     return std::string("bad");
                                   }),
                  Stopped);
}

TEST_CASE("JSON: every expected field, nested, and nothing else, is compared") {
  const Json seen =
      Json::parse(R"({"status": "ok", "db": {"lag": 0, "up": true}, "nodes": ["a", "b"], "more": 1})");
  auto difference = [&](const char* expected) {
    return json_difference(Json::parse(expected), seen, "json");
  };
  CHECK(difference(R"({"status": "ok", "db": {"up": true}, "nodes": ["a", "b"]})").empty());
  CHECK(difference(R"({"db": {"lag": 0.0}})").empty());
  CHECK(difference(R"({"status": "down"})") == R"(json.status is "ok", not "down")");
  CHECK(difference(R"({"db": {"up": "true"}})") == R"(json.db.up is true, not "true")");
  CHECK(difference(R"({"db": {"schema": 3}})") == "json.db.schema is not there");
  CHECK(difference(R"({"status": {"a": 1}})") == R"(json.status is "ok", not an object)");
  CHECK(difference(R"({"nodes": ["a", "c"]})") == R"(json.nodes[2] is "b", not "c")");
  CHECK(difference(R"({"nodes": ["a"]})") == R"(json.nodes is ["a","b"], not ["a"])");
}

TEST_CASE("an excerpt is one line, of whole characters") {
  CHECK(excerpt(" a\nb\t\xff ") == "a b \xEF\xBF\xBD");
  CHECK(excerpt(std::string(199, 'x') + "\xC3\xA4" + "yy") == std::string(199, 'x') + "...");
}

TEST_CASE("hosts and ports of URLs") {
  auto shown = [](const std::string& url) {
    Endpoint endpoint = endpoint_of_url(url);
    return endpoint.host + " " + std::to_string(endpoint.port);
  };
  CHECK(shown("http://127.0.0.1:8080/readyz") == "127.0.0.1 8080");
  CHECK(shown("https://example.org?x=:1") == "example.org 443");
  CHECK(shown("http://user:word@host/a:b@c") == "host 80");
  CHECK(shown("http://[::1]:8443/") == "::1 8443");
  CHECK(shown("http://[::1]") == "::1 80");
  for (const char* bad :
       {"127.0.0.1:8080", "ftp://host/", "http://", "http://:80/", "http://host:0/", "http://host:99999/"})
    CHECK_THROWS_AS(endpoint_of_url(bad), Error);
}
