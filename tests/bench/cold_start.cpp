// Starting relight against starting curl, which loads the same libraries.
#include "tests/bench/measure.h"

int main() {
  using namespace relight;
  const auto many = [](const char* program) {
    double sum = 0;
    for (int i = 0; i < 10; ++i) sum += bench::seconds_of({program, "--version"});
    return sum / 10;
  };
  bench::compare(
      "cold-start", 1.3, 9, [&] { return many(RELIGHT_PROGRAM); }, [&] { return many("curl"); });
}
