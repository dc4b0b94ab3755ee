#include "tests/bench/wal.h"

int main() {
  return relight::bench::wal(
      "wal-gz", 0.6, "gz", [](const std::string& archive) { return "gzip -dc <" + archive + "/%f.gz >%p"; });
}
