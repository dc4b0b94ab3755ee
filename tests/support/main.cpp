#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/support/machine.h"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (!relight::in_machine()) context.addFilter("test-suite-exclude", "machine");
  return context.run();
}
