// What an act throws.
#pragma once
#include <functional>
#include <string>

#include "runner/sys/error.h"

namespace relight {

Error error_of(const std::function<void()>& act);          // "no error" where it throws none
std::string told_error(const std::function<void()>& act);  // "KIND: WHAT: ON: WHY", or "none"

}  // namespace relight
