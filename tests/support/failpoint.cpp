#include "tests/support/failpoint.h"

#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>

#include "runner/sys/failpoint.h"

namespace relight {
namespace {

FailpointWatch watch;
std::map<std::string, int> passed;  // by name, since the watch began
std::mutex guard;

int pass(const char* name, bool can_fail) {
  // A watch may look at the world with helpers that have points themselves.
  thread_local bool inside = false;
  if (!watch || inside) return 0;
  Point point{name, can_fail};
  {
    const std::lock_guard lock(guard);
    const int count = ++passed[name];
    if (count > 1) point.name += "#" + std::to_string(count);
  }
  inside = true;
  const int error_number = watch(point);
  inside = false;
  return error_number;
}

}  // namespace

void watch_failpoints(FailpointWatch new_watch) {
  watch = std::move(new_watch);
  passed.clear();
}

void failpoint(const char* name) {
  pass(name, false);
}

bool fails_at(const char* name) {
  const int error_number = pass(name, true);
  if (error_number != 0) errno = error_number;
  return error_number != 0;
}

FailpointWatch crash_at(const std::string& wanted) {
  return [wanted](const Point& point) {
    if (point.name == wanted) raise(SIGKILL);
    return 0;
  };
}

FailpointWatch fail_at(const std::string& wanted, int error_number) {
  return [=](const Point& point) { return point.name == wanted && point.can_fail ? error_number : 0; };
}

FailpointWatch delay_at(const std::string& wanted, std::chrono::milliseconds delay) {
  return [=](const Point& point) {
    if (point.name == wanted) std::this_thread::sleep_for(delay);
    return 0;
  };
}

}  // namespace relight
