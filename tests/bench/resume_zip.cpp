#include "tests/bench/resume.h"

int main() {
  return relight::bench::resume("zip", 0.25);
}
