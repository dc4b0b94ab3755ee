#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "tests/support/machine.h"
#include "tests/support/skip.h"

int main(int argc, char** argv) {
  // What waits to be written would be written by every process that a test forks, too.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  doctest::Context context(argc, argv);
  if (!relight::in_machine()) context.addFilter("test-suite-exclude", "machine");
  return relight::exit_with_skips(context.run());
}
