#include "runner/step/failpoint.h"

#include <csignal>
#include <cstring>

#include "tests/support/failpoint.h"

namespace relight {
namespace {
FailpointWatch watch;
}

void watch_failpoints(FailpointWatch new_watch) {
  watch = std::move(new_watch);
}

void failpoint(const char* name) {
  if (watch) watch(name);
}

FailpointWatch crash_at(const std::string& wanted) {
  return [wanted](const char* name) {
    if (wanted == name) raise(SIGKILL);
  };
}

}  // namespace relight
