#include "tests/bench/resume.h"

int main() {
  return relight::bench::resume("zst", 0.4);
}
