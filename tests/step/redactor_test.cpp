#include "runner/step/redactor.h"

#include <doctest/doctest.h>

#include <random>

#include "runner/sys/digest.h"

using namespace relight;

namespace {
const std::string key = "c2VjcmV0LW1hc3Rlci1rZXktMTIzNDU2Nzg5";
}

TEST_CASE("a secret is taken out in every form in which it leaks") {
  Redactor redactor;
  redactor.add("MASTER_KEY=\"" + key + "\"\nPORT=5432\n");
  std::string raw;
  REQUIRE(sys::from_base64(key, raw));
  for (const std::string& form : {key, sys::to_hex(key), sys::to_hex(raw), raw, sys::to_base64(key),
                                  sys::to_base64("x" + key), sys::to_base64("xy" + key)}) {
    const std::string text = redactor.redact("before " + form + " after");
    CHECK_MESSAGE(text.find("[secret]") != std::string::npos, form);
    CHECK_MESSAGE(text.find(key.substr(8, 16)) == std::string::npos, form);
    CHECK(text.substr(0, 7) == "before ");
  }
  CHECK(redactor.redact("port 5432 is no secret") == "port 5432 is no secret");
}

TEST_CASE("a stream is redacted across its pieces, and loses nothing else") {
  Redactor redactor;
  redactor.add(key);
  const std::string text = "one " + key + " two " + key + key + " three " + key.substr(0, 20);
  const std::string whole = redactor.redact(text);
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    Redactor::Stream stream;
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = 1 + random() % 40;
      out += stream.push(redactor, std::string_view(text).substr(at, length));
      at += length;
    }
    out += stream.finish(redactor);
    REQUIRE(out == whole);
  }
}

TEST_CASE("short secrets are not searched for") {
  Redactor redactor;
  redactor.add("root");
  CHECK(redactor.empty());
  CHECK(redactor.redact("the root of it") == "the root of it");
}
