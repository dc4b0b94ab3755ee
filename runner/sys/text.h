// Texts: UTF-8, durations, sizes and times as people write them.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relight::sys {

bool is_utf8(std::string_view text);
std::string mend_utf8(std::string_view text);  // bytes that are not UTF-8 become U+FFFD

std::vector<std::string> split(std::string_view text, char separator);
std::string trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// "250ms" "30s" "5m" "1h30m" "2d"; nothing else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string show_duration(std::chrono::milliseconds duration);  // "12ms" "0.4s" "4m 05s" "1h 02m"

// "512" "10kB" "10MB" "512KiB" "2GiB" "1TiB".
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string show_size(std::uint64_t bytes);   // "857 MB" "1.2 GB": powers of 1000, as df -H prints
std::string show_count(std::uint64_t count);  // "1,204"

// ISO 8601 with an offset or Z: "2026-11-21T10:26:00Z", "2026-11-21 10:26:00.25+01:00". No offset: nothing.
using Time = std::chrono::sys_time<std::chrono::microseconds>;
std::optional<Time> parse_time(std::string_view text);
std::string show_time(Time time);  // in UTC: "2026-11-21T10:26:00Z", micros only where there are any
Time now();
std::chrono::milliseconds boot_time();  // CLOCK_BOOTTIME

}  // namespace relight::sys
