#include "steps/postgres/lib/wal.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "runner/sys/error.h"
#include "runner/sys/text.h"

namespace relight::postgres {

namespace {

constexpr Lsn end_of_time = std::numeric_limits<Lsn>::max();

std::optional<std::uint64_t> parse_hex(std::string_view text, std::size_t most_digits) {
  if (text.empty() || text.size() > most_digits) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class Number>
Number number_at(const std::string& bytes, std::size_t offset) {
  Number value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::string show_lsn(Lsn lsn) {
  return fmt::format("{:X}/{:X}", lsn >> 32, lsn & 0xFFFFFFFFu);
}

std::optional<Lsn> parse_lsn(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto high = parse_hex(std::string_view(text).substr(0, slash), 8);
  const auto low = parse_hex(std::string_view(text).substr(slash + 1), 8);
  if (!high || !low) return std::nullopt;
  return *high << 32 | *low;
}

bool is_segment_size(std::uint64_t bytes) {
  return bytes >= (1u << 20) && bytes <= (1u << 30) && (bytes & (bytes - 1)) == 0;
}

std::string show_segment(Timeline timeline, std::uint64_t number, std::uint64_t segment_size) {
  const std::uint64_t per_log = 0x100000000u / segment_size;
  return fmt::format("{:08X}{:08X}{:08X}", timeline, number / per_log, number % per_log);
}

std::optional<SegmentName> parse_segment(const std::string& name, std::uint64_t segment_size) {
  if (name.size() != 24 || name.find_first_not_of("0123456789ABCDEF") != std::string::npos)
    return std::nullopt;
  const std::uint64_t per_log = 0x100000000u / segment_size;
  const std::uint64_t low = *parse_hex(std::string_view(name).substr(16, 8), 8);
  const auto timeline = static_cast<Timeline>(*parse_hex(std::string_view(name).substr(0, 8), 8));
  if (timeline == 0 || low >= per_log) return std::nullopt;
  return SegmentName{timeline, *parse_hex(std::string_view(name).substr(8, 8), 8) * per_log + low};
}

std::string history_name(Timeline timeline) {
  return fmt::format("{:08X}.history", timeline);
}

std::optional<Timeline> parse_history_name(const std::string& name) {
  if (name.size() != 16 || name.substr(8) != ".history") return std::nullopt;
  if (name.find_first_not_of("0123456789ABCDEF") != 8) return std::nullopt;
  const auto timeline = static_cast<Timeline>(*parse_hex(std::string_view(name).substr(0, 8), 8));
  if (timeline == 0) return std::nullopt;
  return timeline;
}

Path path_without_history(Timeline timeline) {
  return {{timeline, 0, end_of_time}};
}

Path parse_history(Timeline timeline, const std::string& text, const std::string& file) {
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorKind::permanent, "cannot read the timeline history", file, why,
                 "take the file from another copy of the WAL archive");
  };
  Path path;
  Lsn begin = 0;
  for (const std::string& raw : sys::split(text, '\n')) {
    const std::string line = sys::trim(raw);
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> words;  // PARENT TIMELINE, SWITCH POINT, reason
    for (const std::string& tab_part : sys::split(line, '\t'))
      for (const std::string& word : sys::split(tab_part, ' '))
        if (!word.empty()) words.push_back(word);
    std::uint32_t parent = 0;
    const bool number =
        std::from_chars(words[0].data(), words[0].data() + words[0].size(), parent).ec == std::errc();
    const auto end = words.size() > 1 ? parse_lsn(words[1]) : std::nullopt;
    if (!number || parent == 0 || !end)
      throw wrong("the line \"" + line + "\" is no timeline and switch point");
    if (*end < begin || (!path.empty() && parent <= path.back().timeline) || parent >= timeline)
      throw wrong("the line \"" + line + "\" goes back");
    path.push_back({parent, begin, *end});
    begin = *end;
  }
  path.push_back({timeline, begin, end_of_time});
  return path;
}

Timeline timeline_at(const Path& path, Lsn lsn) {
  for (const Stretch& stretch : path)
    if (lsn >= stretch.begin && lsn < stretch.end) return stretch.timeline;
  return path.back().timeline;
}

bool leads_on(const Path& path, Timeline timeline, Lsn start, Lsn end) {
  return std::any_of(path.begin(), path.end(), [&](const Stretch& stretch) {
    return stretch.timeline == timeline && start >= stretch.begin && end <= stretch.end;
  });
}

Lsn page_address(const std::string& segment, std::uint64_t offset) {
  return offset + 16 <= segment.size() ? number_at<std::uint64_t>(segment, offset + 8) : 0;
}

std::optional<SegmentHeader> parse_segment_header(const std::string& bytes) {
  // XLogLongPageHeaderData: magic 2, info 2, timeline 4, address 8, remaining 4, (4), system 8, segment size
  // 4, block size 4
  constexpr std::uint16_t long_header = 0x0002;
  if (bytes.size() < 40) return std::nullopt;
  const auto magic = number_at<std::uint16_t>(bytes, 0);
  const auto info = number_at<std::uint16_t>(bytes, 2);
  // Every release has its own magic, 0xD0nn or 0xD1nn since 8.
  if ((magic & 0xFE00) != 0xD000 || (info & long_header) == 0) return std::nullopt;
  SegmentHeader header;
  header.timeline = number_at<std::uint32_t>(bytes, 4);
  header.address = number_at<std::uint64_t>(bytes, 8);
  header.system_identifier = number_at<std::uint64_t>(bytes, 24);
  header.segment_size = number_at<std::uint32_t>(bytes, 32);
  return header;
}

}  // namespace relight::postgres
