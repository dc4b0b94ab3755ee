#include "tests/bench/resume.h"

int main() {
  return relight::bench::resume("gz", 0.6);
}
