#include "runner/sys/failpoint.h"

namespace relight {
void failpoint(const char*) {}
bool fails_at(const char*) {
  return false;
}
}  // namespace relight
