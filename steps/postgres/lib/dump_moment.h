// When a dump was begun, as it says itself.
#pragma once
#include <optional>
#include <string>

#include "runner/sys/text.h"

namespace relight::postgres {

// "2026-11-21 10:26:00 CET", as pg_restore --list and the head of a verbose plain dump have it. Zones other
// than UTC and plain offsets are known as this host's own only; nothing: it cannot be told.
std::optional<sys::Time> dump_moment(const std::string& told);

}  // namespace relight::postgres
