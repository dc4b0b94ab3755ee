#include "tests/support/error.h"

namespace relight {

Error error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::permanent, "no error", "", "");
}

std::string told_error(const std::function<void()>& act) {
  const Error error = error_of(act);
  return error.failed == "no error" ? "none" : std::string(name_of(error.kind)) + ": " + error.what();
}

}  // namespace relight
