// Another run holds a target, or another process the run: exit 5.
#pragma once
#include "runner/sys/error.h"

namespace relight {

struct Held : Error {
  using Error::Error;
};

}  // namespace relight
