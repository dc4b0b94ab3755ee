#include "steps/postgres/lib/dump_moment.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

using namespace relight;
using postgres::dump_moment;

namespace {

// The host's time zone, for as long as the object lives.
struct Zone {
  explicit Zone(const char* name) { set(name); }
  ~Zone() {
    unsetenv("TZ");
    tzset();
  }
  static void set(const char* name) {
    setenv("TZ", name, 1);
    tzset();
  }
};

std::string told(const std::string& text) {
  const auto moment = dump_moment(text);
  return moment ? sys::show_time(*moment) : "unknown";
}

}  // namespace

TEST_CASE("the moment of a dump is known in UTC, with an offset, and in this host's own zone") {
  const Zone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  CHECK(told("2026-11-21 10:26:00 UTC") == "2026-11-21T10:26:00Z");
  CHECK(told("2026-11-21 10:26:00 GMT") == "2026-11-21T10:26:00Z");
  CHECK(told("2026-11-21 10:26:00 +0330") == "2026-11-21T06:56:00Z");
  CHECK(told("2026-11-21 10:26:00 CET") == "2026-11-21T09:26:00Z");
  CHECK(told("2026-07-21 10:26:00 CEST") == "2026-07-21T08:26:00Z");
  // The hour that comes twice when summer ends.
  CHECK(told("2026-10-25 02:30:00 CEST") == "2026-10-25T00:30:00Z");
  CHECK(told("2026-10-25 02:30:00 CET") == "2026-10-25T01:30:00Z");
}

TEST_CASE("a moment that cannot be told is unknown") {
  const Zone zone("UTC");
  for (const char* text :
       {"", "UTC", "2026-11-21 10:26:00", "2026-11-21 10:26:00 CET", "Tue Nov 21 10:26:00 2026",
        "2026-13-21 10:26:00 UTC", "2026-11-21 10:26:00 UTC later"}) {
    CAPTURE(text);
    CHECK(told(text) == "unknown");
  }
}
