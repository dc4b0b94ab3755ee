#include "runner/sys/wait.h"

#include <algorithm>
#include <thread>

namespace relight::sys {

bool wait_until(std::chrono::milliseconds within, std::chrono::milliseconds every,
                const std::function<bool()>& stop, const std::function<bool()>& done) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds look{250};  // how often `stop` is asked at least
  const Clock::time_point end = Clock::now() + within;
  while (true) {
    if (done()) return true;
    const Clock::time_point asked = Clock::now();
    if (asked >= end) return false;
    const Clock::time_point next = std::min(end, asked + every);
    do {
      if (stop && stop()) return false;
      std::this_thread::sleep_until(std::min(next, Clock::now() + look));
    } while (Clock::now() < next);
  }
}

}  // namespace relight::sys
