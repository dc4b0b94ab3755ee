#include "tests/bench/wal.h"

int main() {
  return relight::bench::wal("wal-floor", 1.3, "gz", [](const std::string&) { return ""; });
}
