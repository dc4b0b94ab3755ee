// What comes back from work in a child process, and what is told of one that broke off.
#include "runner/lang/child.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include "runner/sys/json_whole.h"

using namespace relight;
using namespace relight::lang;

namespace {

std::string broken_off(const std::function<Json()>& work) {
  try {
    in_child(Limits(), "test.lua", work);
  } catch (const Error& error) {
    return error.what();
  }
  return "it did not";
}

}  // namespace

TEST_CASE("what the work gave comes back whole, whatever its size and bytes") {
  for (const std::size_t size : {0, 1, 65535, 65536, 5'000'000}) {
    const Json answer = {{"text", std::string(size, '\0')}, {"list", {1, nullptr, "x"}}};
    CHECK(in_child(Limits(), "test.lua", [&] { return answer; }) == answer);
  }
}

TEST_CASE("several children may work at once, and one whose answer nobody takes is ended") {
  Child first(Limits(), "test.lua", [] { return Json("first"); });
  Child endless(Limits(), "test.lua", []() -> Json {
    for (;;) pause();
  });
  Child last(Limits(), "test.lua", [] { return Json("last"); });
  CHECK(last.answer() == "last");
  CHECK(first.answer() == "first");
}

TEST_CASE("a child that breaks off is told with how it ended") {
  CHECK(broken_off([]() -> Json { _exit(0); }) ==
        "cannot load the runbook: test.lua: the process that evaluates it broke off: it ended without an "
        "answer");
  CHECK(
      broken_off([]() -> Json {
        raise(SIGKILL);
        return nullptr;
      }) ==
      "cannot load the runbook: test.lua: the process that evaluates it broke off: it was ended by signal 9 "
      "(Killed)");
}

TEST_CASE("what the work throws is thrown") {
  CHECK(broken_off([]() -> Json { throw Error(ErrorKind::refused, "cannot", "this", "for a reason"); }) ==
        "cannot: this: for a reason");
  CHECK_THROWS_AS(in_child(Limits(), "test.lua",
                           []() -> Json {
                             throw RunbookError({{{"test.lua", 3}, "", "is wrong", "", nullptr}});
                           }),
                  RunbookError);
}
