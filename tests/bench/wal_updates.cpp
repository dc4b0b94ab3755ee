#include "tests/bench/wal.h"

int main() {
  return relight::bench::wal(
      "wal-updates", 0.85, "zst",
      [](const std::string& archive) { return "zstd -dcq <" + archive + "/%f.zst >%p"; },
      relight::bench::Written::updated);
}
