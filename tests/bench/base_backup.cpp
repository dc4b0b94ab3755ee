#include "tests/bench/base.h"

int main() {
  return relight::bench::base_against_tar("base-backup", 0.8);
}
