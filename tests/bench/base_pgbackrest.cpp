#include "tests/bench/base.h"

int main() {
  return relight::bench::base_against_backrest("base-pgbackrest", 1);
}
