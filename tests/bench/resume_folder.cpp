#include "tests/bench/resume.h"

int main() {
  return relight::bench::resume("folder", 0.25);
}
