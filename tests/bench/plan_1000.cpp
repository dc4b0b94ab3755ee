// `relight plan` of a runbook of 1,000 steps, start of the program to its end.
#include "runner/sys/files.h"
#include "tests/bench/measure.h"

int main() {
  using namespace relight;
  sys::TempFolder folder("/var/tmp");
  const std::string runbook = bench::runbook_of(folder.path(), 1000);
  bench::absolute("plan-1000", 50, 9, [&] { return bench::seconds_of({RELIGHT_PROGRAM, "plan", runbook}); });
}
