#include "steps/postgres/lib/wal.h"

#include <doctest/doctest.h>

#include <functional>

#include "runner/sys/error.h"

using namespace relight;
using namespace relight::postgres;

namespace {

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("positions are read and written as PostgreSQL writes them") {
  const struct {
    const char* text;
    Lsn lsn;
  } good[] = {{"0/0", 0}, {"0/5A000148", 0x5A000148}, {"1/0", 1ull << 32}, {"FFFFFFFF/FFFFFFFF", ~0ull}};
  for (const auto& [text, lsn] : good) {
    CHECK(parse_lsn(text) == lsn);
    CHECK(show_lsn(lsn) == text);
  }
  CHECK(parse_lsn("0/03001e20") == 0x3001E20u);
  for (const char* bad : {"", "0", "/", "0/", "/1", "0/G", "0/123456789", "0/1 ", " 0/1", "0/-1"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_lsn(bad));
  }
}

TEST_CASE("segment names follow the segment size") {
  constexpr std::uint64_t mib = 1u << 20;
  CHECK(show_segment(1, 2, 16 * mib) == "000000010000000000000002");
  CHECK(show_segment(2, 256, 16 * mib) == "000000020000000100000000");
  CHECK(show_segment(1, 4096, mib) == "000000010000000100000000");
  CHECK(show_segment(0xA, 5, 1024 * mib) == "0000000A0000000100000001");
  for (const std::uint64_t size : {mib, 16 * mib, 1024 * mib})
    for (const std::uint64_t number : {0ull, 1ull, 3ull, 4095ull, 4096ull, 1234567ull}) {
      const auto parsed = parse_segment(show_segment(7, number, size), size);
      REQUIRE(parsed);
      CHECK(parsed->timeline == 7);
      CHECK(parsed->number == number);
    }
  for (const char* bad :
       {"", "00000001000000000000000", "000000010000000000000100", "000000000000000000000001",
        "00000001000000000000000g", "000000010000000000000002.partial", "00000001.history"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_segment(bad, 16 * mib));
  }
  CHECK(history_name(0x1F) == "0000001F.history");
  CHECK(parse_history_name("0000001F.history") == 0x1Fu);
  for (const char* bad :
       {"1F.history", "00000000.history", "0000001F.histor", "0000001f.history", "0000001G.history"})
    CHECK_FALSE(parse_history_name(bad));
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{524288}, 3 * mib, 2048 * mib})
    CHECK_FALSE(is_segment_size(size));
}

TEST_CASE("a history is a path along the timelines") {
  const Path path = parse_history(3,
                                  "1\t0/5000060\tno recovery target specified\n\n# a "
                                  "remark\n2\t0/7000000\tbefore 2026-11-21 10:26:00+00\n",
                                  "f");
  REQUIRE(path.size() == 3);
  CHECK(timeline_at(path, 0) == 1);
  CHECK(timeline_at(path, 0x500005F) == 1);
  CHECK(timeline_at(path, 0x5000060) == 2);
  CHECK(timeline_at(path, 0x7000000) == 3);
  CHECK(timeline_at(path, ~0ull) == 3);
  CHECK(timeline_at(path_without_history(1), 5) == 1);

  CHECK(leads_on(path, 1, 0x2000028, 0x2000100));
  CHECK(leads_on(path, 1, 0x2000028, 0x5000060));
  CHECK_FALSE(leads_on(path, 1, 0x2000028, 0x5000061));  // the backup ended after the fork
  CHECK_FALSE(leads_on(path, 2, 0x2000028, 0x2000100));  // made before timeline 2 began
  CHECK(leads_on(path, 2, 0x5000060, 0x6000000));
  CHECK_FALSE(leads_on(path, 4, 0x2000028, 0x2000100));

  CHECK(error_of([] { parse_history(2, "1\tx\n", "f"); }) ==
        "cannot read the timeline history: f: the line \"1\tx\" is no timeline and switch point");
  CHECK(error_of([] { parse_history(3, "2\t0/5\n1\t0/6\n", "f"); }) ==
        "cannot read the timeline history: f: the line \"1\t0/6\" goes back");
  CHECK(error_of([] { parse_history(3, "1\t0/5\n2\t0/4\n", "f"); }) ==
        "cannot read the timeline history: f: the line \"2\t0/4\" goes back");
  CHECK(error_of([] { parse_history(2, "2\t0/5\n", "f"); }) ==
        "cannot read the timeline history: f: the line \"2\t0/5\" goes back");
}

TEST_CASE("a segment's header") {
  std::string bytes(40, '\0');
  bytes[0] = '\x10';
  bytes[1] = '\xD1';
  bytes[2] = 2;    // a long header
  bytes[4] = 3;    // the timeline
  bytes[11] = 5;   // the address: 0/5000000
  bytes[24] = 9;   // the system
  bytes[34] = 16;  // 1 MiB
  const auto header = parse_segment_header(bytes);
  REQUIRE(header);
  CHECK(header->timeline == 3);
  CHECK(header->address == 0x5000000);
  CHECK(header->system_identifier == 9);
  CHECK(header->segment_size == 1u << 20);
  CHECK_FALSE(parse_segment_header(bytes.substr(0, 39)));
  CHECK_FALSE(parse_segment_header(std::string(40, '\0')));
  bytes[2] = 0;
  CHECK_FALSE(parse_segment_header(bytes));
}
