#include "runner/sys/text.h"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <cctype>

namespace relight::sys {
namespace {

// The length of the character at the front; 0: not UTF-8, and `bad` is how many bytes of it to mend as one.
std::size_t utf8_length(std::string_view text, std::size_t& bad) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  bad = 1;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80,
                high = 0xBF;  // of the second byte: no overlong form, no surrogate, no more than U+10FFFF
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) {
      bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

// Takes the decimal number at the front off; false: none there, or too large.
bool take_number(std::string_view& text, std::uint64_t& number) {
  std::size_t digits = 0;
  number = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    if (__builtin_mul_overflow(number, std::uint64_t{10}, &number)) return false;
    if (__builtin_add_overflow(number, static_cast<std::uint64_t>(text[digits] - '0'), &number)) return false;
    ++digits;
  }
  text.remove_prefix(digits);
  return digits > 0;
}

// Takes exactly `width` digits off the front.
bool take_digits(std::string_view& text, std::size_t width, int& number) {
  if (text.size() < width) return false;
  number = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text[0] != wanted) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

bool is_utf8(std::string_view text) {
  std::size_t bad;
  while (!text.empty()) {
    std::size_t length = utf8_length(text, bad);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string mend_utf8(std::string_view text) {
  std::string mended;
  mended.reserve(text.size());
  while (!text.empty()) {
    std::size_t bad, length = utf8_length(text, bad);
    mended += length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length);
    text.remove_prefix(length == 0 ? bad : length);
  }
  return mended;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n\f\v";
  std::size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(blank) - begin + 1));
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t milliseconds;
  };
  // From large to small, each at most once. "ms" stands before "m", whose beginning it shares.
  static constexpr std::array<Unit, 5> units{
      {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}}};
  constexpr std::uint64_t most = std::uint64_t{100} * 366 * 86400000;  // a century: more is a slip
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  std::size_t next = 0;
  while (!text.empty()) {
    std::uint64_t number;
    if (!take_number(text, number)) return std::nullopt;
    std::size_t letters = 0;
    while (letters < text.size() && std::isalpha(static_cast<unsigned char>(text[letters]))) ++letters;
    while (next < units.size() && units[next].name != text.substr(0, letters)) ++next;
    if (next == units.size()) return std::nullopt;
    std::uint64_t part;
    if (__builtin_mul_overflow(number, units[next].milliseconds, &part) || part > most) return std::nullopt;
    total += part;
    if (total > most) return std::nullopt;
    text.remove_prefix(letters);
    ++next;
  }
  return std::chrono::milliseconds(total);
}

std::string show_duration(std::chrono::milliseconds duration) {
  if (duration.count() < 0) return "-" + show_duration(-duration);
  if (duration.count() < 100) return fmt::format("{}ms", duration.count());
  const std::int64_t tenths = (duration.count() + 50) / 100;
  if (tenths < 600) return fmt::format("{}.{}s", tenths / 10, tenths % 10);
  const std::int64_t seconds = (duration.count() + 500) / 1000;
  if (seconds < 3600) return fmt::format("{}m {:02}s", seconds / 60, seconds % 60);
  const std::int64_t minutes = (duration.count() + 30000) / 60000;
  return fmt::format("{}h {:02}m", minutes / 60, minutes % 60);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t bytes;
  };
  constexpr std::uint64_t k = 1000, ki = 1024;
  static constexpr std::array<Unit, 10> units{{{"", 1},
                                               {"B", 1},
                                               {"kB", k},
                                               {"MB", k * k},
                                               {"GB", k * k * k},
                                               {"TB", k * k * k * k},
                                               {"KiB", ki},
                                               {"MiB", ki * ki},
                                               {"GiB", ki * ki * ki},
                                               {"TiB", ki * ki * ki * ki}}};
  std::uint64_t number;
  if (!take_number(text, number)) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name != text) continue;
    if (__builtin_mul_overflow(number, unit.bytes, &number)) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

std::string show_size(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr std::array<const char*, 6> units{"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return value < 9.95 ? fmt::format("{:.1f} {}", value, units[unit])
                      : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string show_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::optional<Time> parse_time(std::string_view text) {
  int year, month, day, hour, minute, second = 0;
  if (!take_digits(text, 4, year) || !take(text, '-') || !take_digits(text, 2, month) || !take(text, '-') ||
      !take_digits(text, 2, day))
    return std::nullopt;
  if (!take(text, 'T') && !take(text, 't') && !take(text, ' ')) return std::nullopt;
  if (!take_digits(text, 2, hour) || !take(text, ':') || !take_digits(text, 2, minute)) return std::nullopt;
  std::chrono::microseconds fraction{0};
  if (take(text, ':')) {
    if (!take_digits(text, 2, second)) return std::nullopt;
    if (take(text, '.')) {
      int digit;
      int place = 100000, digits = 0;
      for (; take_digits(text, 1, digit); ++digits, place /= 10)
        fraction += std::chrono::microseconds(digit * place);
      if (digits == 0) return std::nullopt;
    }
  }
  std::chrono::minutes offset{0};
  if (!take(text, 'Z') && !take(text, 'z')) {
    const bool west = !text.empty() && text[0] == '-';
    if (!take(text, '+') && !take(text, '-')) return std::nullopt;
    int hours, minutes = 0;
    if (!take_digits(text, 2, hours)) return std::nullopt;
    if (!text.empty()) {
      take(text, ':');
      if (!take_digits(text, 2, minutes)) return std::nullopt;
    }
    if (hours > 15 || minutes > 59) return std::nullopt;
    offset = std::chrono::minutes(hours * 60 + minutes);
    if (west) offset = -offset;
  }
  if (!text.empty() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) + fraction - offset;
}

std::string show_time(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (clock.subseconds().count() != 0) text += fmt::format(".{:06}", clock.subseconds().count());
  return text + "Z";
}

Time now() {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

std::chrono::milliseconds boot_time() {
  struct timespec time;
  ::clock_gettime(CLOCK_BOOTTIME, &time);  // cannot fail on a kernel that has it, since 2.6.39
  return std::chrono::milliseconds(std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1000000);
}

}  // namespace relight::sys
