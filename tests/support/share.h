// How much is tried of what could be tried everywhere: as scripts/test says.
#pragma once
#include <cstdlib>

namespace relight {

// RELIGHT_TEST_ALL: all of it.
inline bool try_all() {
  return std::getenv("RELIGHT_TEST_ALL") != nullptr;
}

// RELIGHT_TEST_PART=N: one of N of the usual, where a sanitizer makes everything slow.
inline unsigned test_part() {
  const char* const text = std::getenv("RELIGHT_TEST_PART");
  const long part = text == nullptr ? 1 : std::strtol(text, nullptr, 10);
  return part < 1 ? 1 : static_cast<unsigned>(part);
}

}  // namespace relight
