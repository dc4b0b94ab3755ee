#include "runner/sys/wait.h"

#include <doctest/doctest.h>

using namespace relight::sys;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("waiting: asked at once, again, and a last time at the end") {
  int asked = 0;
  CHECK(wait_until(0ms, 1h, {}, [&] { return ++asked == 1; }));
  CHECK(wait_until(1h, 1ms, {}, [&] { return ++asked == 5; }));
  CHECK(asked == 5);
  asked = 0;
  CHECK_FALSE(wait_until(20ms, 1h, {}, [&] { return ++asked > 2; }));
  CHECK(asked == 2);
}

TEST_CASE("waiting ends when it is told to stop, however long the pause") {
  const auto begun = Clock::now();
  CHECK_FALSE(wait_until(
      1h, 1h, [&] { return Clock::now() - begun > 50ms; }, [] { return false; }));
  CHECK(Clock::now() - begun < 10s);
}
