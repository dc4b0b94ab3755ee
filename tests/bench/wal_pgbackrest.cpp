#include "tests/bench/wal.h"

int main() {
  return relight::bench::wal_against_backrest("wal-pgbackrest", 0.85);
}
