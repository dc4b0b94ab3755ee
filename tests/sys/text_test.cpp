#include "runner/sys/text.h"

#include <doctest/doctest.h>

using namespace relight::sys;
using namespace std::chrono_literals;

TEST_CASE("utf-8: what is valid, and what is mended") {
  struct {
    std::string_view text;
    bool good;
    const char* mended;
  } const cases[] = {
      {"", true, ""},
      {"plain", true, "plain"},
      {"h\xC3\xA4user \xE2\x82\xAC \xF0\x9F\x98\x80", true, "h\xC3\xA4user \xE2\x82\xAC \xF0\x9F\x98\x80"},
      {"a\xFFz", false, "a\xEF\xBF\xBDz"},
      {"\xC0\xAF", false, "\xEF\xBF\xBD\xEF\xBF\xBD"},                  // overlong
      {"\xED\xA0\x80", false, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // a surrogate
      {"\xF4\x90\x80\x80", false, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"cut \xE2\x82", false, "cut \xEF\xBF\xBD"},
      {"\xE2\x82z", false, "\xEF\xBF\xBDz"},
      {std::string_view("nul\0in", 6), true, nullptr},
  };
  for (const auto& one : cases) {
    CAPTURE(one.text);
    CHECK(is_utf8(one.text) == one.good);
    if (one.mended != nullptr) CHECK(mend_utf8(one.text) == one.mended);
    CHECK(is_utf8(mend_utf8(one.text)));
  }
}

TEST_CASE("split, trim, join") {
  CHECK(split("a,b,,c", ',') == std::vector<std::string>{"a", "b", "", "c"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(trim(" \t a b\r\n") == "a b");
  CHECK(trim(" \n").empty());
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(join({}, ", ").empty());
}

TEST_CASE("durations") {
  struct {
    const char* text;
    long long milliseconds;  // -1: refused
  } const cases[] = {
      {"250ms", 250},
      {"30s", 30000},
      {"5m", 300000},
      {"1h30m", 5400000},
      {"2d", 172800000},
      {"0s", 0},
      {"1m250ms", 60250},
      {"", -1},
      {"30", -1},
      {"s", -1},
      {"30S", -1},
      {"1.5s", -1},
      {"-5s", -1},
      {"30m1h", -1},
      {"1m1m", -1},
      {"5 m", -1},
      {"5m ", -1},
      {"1w", -1},
      {"99999999999999999999s", -1},
      {"9999999999999d", -1},
  };
  for (const auto& one : cases) {
    CAPTURE(one.text);
    const auto got = parse_duration(one.text);
    CHECK((got ? got->count() : -1) == one.milliseconds);
  }
  CHECK(show_duration(0ms) == "0ms");
  CHECK(show_duration(1ms) == "1ms");
  CHECK(show_duration(99ms) == "99ms");
  CHECK(show_duration(100ms) == "0.1s");
  CHECK(show_duration(-1ms) == "-1ms");
  CHECK(show_duration(412ms) == "0.4s");
  CHECK(show_duration(12345ms) == "12.3s");
  CHECK(show_duration(59949ms) == "59.9s");
  CHECK(show_duration(59951ms) == "1m 00s");
  CHECK(show_duration(245s) == "4m 05s");
  CHECK(show_duration(3599600ms) == "1h 00m");
  CHECK(show_duration(62min) == "1h 02m");
  CHECK(show_duration(-412ms) == "-0.4s");
}

TEST_CASE("sizes and counts") {
  CHECK(parse_size("512") == 512);
  CHECK(parse_size("10kB") == 10000);
  CHECK(parse_size("10MB") == 10000000);
  CHECK(parse_size("512KiB") == 524288);
  CHECK(parse_size("2GiB") == 2147483648);
  CHECK(parse_size("1TiB") == 1099511627776);
  for (const char* bad : {"", "GB", "1.5GB", "-1", "10 MB", "10mb", "10KB", "99999999999TiB", "0x10"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_size(bad));
  }
  CHECK(show_size(0) == "0 B");
  CHECK(show_size(999) == "999 B");
  CHECK(show_size(1000) == "1.0 kB");
  CHECK(show_size(857000000) == "857 MB");
  CHECK(show_size(1234000000) == "1.2 GB");
  CHECK(show_size(9960000) == "10 MB");
  CHECK(show_size(999600) == "1.0 MB");
  CHECK(show_size(UINT64_MAX) == "18 EB");
  CHECK(show_count(0) == "0");
  CHECK(show_count(999) == "999");
  CHECK(show_count(1204) == "1,204");
  CHECK(show_count(1234567) == "1,234,567");
}

TEST_CASE("times") {
  struct {
    const char* text;
    const char* shown;  // null: refused
  } const cases[] = {
      {"2026-11-21T10:26:00Z", "2026-11-21T10:26:00Z"},
      {"2026-11-21 10:26:00.25+01:00", "2026-11-21T09:26:00.250000Z"},
      {"2026-11-21 10:26:00.123456789-0530", "2026-11-21T15:56:00.123456Z"},
      {"2026-11-21 10:26+02", "2026-11-21T08:26:00Z"},
      {"2024-02-29T00:00:00+00:00", "2024-02-29T00:00:00Z"},
      {"2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"},
      {"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z"},
      {"2026-11-21T10:26:00", nullptr},
      {"2026-11-21", nullptr},
      {"2025-02-29T00:00:00Z", nullptr},
      {"2026-13-01T00:00:00Z", nullptr},
      {"2026-11-21T24:00:00Z", nullptr},
      {"2026-11-21T10:60:00Z", nullptr},
      {"2026-11-21T10:26:60Z", nullptr},
      {"2026-11-21T10:26:00.Z", nullptr},
      {"2026-11-21T10:26:00Zx", nullptr},
      {"2026-11-21T10:26:00+1", nullptr},
      {"2026-11-21T10:26:00+16:00", nullptr},
      {"2026-11-21T10:26:00 Europe/Berlin", nullptr},
      {"21.11.2026 10:26:00Z", nullptr},
      {"", nullptr},
  };
  for (const auto& one : cases) {
    CAPTURE(one.text);
    const auto time = parse_time(one.text);
    REQUIRE(time.has_value() == (one.shown != nullptr));
    if (time) CHECK(show_time(*time) == one.shown);
  }
  const Time moment = now();
  CHECK(parse_time(show_time(moment)) == moment);
  CHECK(boot_time() > 0ms);
}
