#include "tests/matrix/harness.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "runner/sys/error.h"
#include "tests/support/share.h"

namespace relight {
namespace {

// Printed as the last line of the process.
struct Tally {
  int ran = 0, held = 0;
  ~Tally() {
    if (ran > 0) std::printf("the crash matrix: %d cases ran, %d held\n", ran, held);
  }
};

Tally& tally() {
  static Tally one;
  return one;
}

std::uint32_t number_of(const std::string& text) {
  std::uint32_t number = 2166136261u;
  for (const char c : text) number = (number ^ static_cast<unsigned char>(c)) * 16777619u;
  return number >> 4;
}

}  // namespace

std::uint32_t drawn(const std::string& what, std::uint32_t below) {
  const char* seed = std::getenv("RELIGHT_SEED");
  return number_of(std::string(seed != nullptr ? seed : "1") + " " + what) % below;
}

bool chosen(const std::string& what, std::uint32_t one_of) {
  return try_all() || drawn(what, one_of * test_part()) == 0;
}

void try_case(const std::string& what, const std::function<void()>& act) {
  const char* const wanted = std::getenv("RELIGHT_CASE");
  if (tally().ran - tally().held >= 10 || (wanted != nullptr && !what.starts_with(wanted))) return;
  ++tally().ran;
  try {
    act();
    ++tally().held;
  } catch (const Broken& broken) {
    FAIL_CHECK(what, ":\n    ", broken.why);
  } catch (const Error& error) {
    FAIL_CHECK(what, ":\n    the test itself: ", std::string(error.what()));
  }
}

}  // namespace relight
