#include "tests/bench/dumps.h"

int main() {
  return relight::bench::dump_many();
}
