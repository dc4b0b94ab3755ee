// Waiting for something to come true.
#pragma once
#include <chrono>
#include <functional>

namespace relight::sys {

// Asks `done` at once and then every `every`, until it says true (returns true) or `within` has passed or
// `stop` says true (returns false).
bool wait_until(std::chrono::milliseconds within, std::chrono::milliseconds every,
                const std::function<bool()>& stop, const std::function<bool()>& done);

}  // namespace relight::sys
