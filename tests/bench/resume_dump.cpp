#include "tests/bench/dumps.h"

int main() {
  return relight::bench::resume_dump();
}
