// WAL positions, segment names and timelines: arithmetic only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace relight::postgres {

using Lsn = std::uint64_t;
using Timeline = std::uint32_t;

std::string show_lsn(Lsn lsn);  // "0/5A000148"
std::optional<Lsn> parse_lsn(const std::string& text);

constexpr std::uint64_t default_segment_size = 16u << 20;
constexpr std::uint64_t smallest_segment_size = 1u << 20;
bool is_segment_size(std::uint64_t bytes);  // a power of two from 1 MiB to 1 GiB

struct SegmentName {
  Timeline timeline = 0;
  std::uint64_t number = 0;  // the segment holds [number * size, (number + 1) * size)
};
std::string show_segment(Timeline timeline, std::uint64_t number, std::uint64_t segment_size);
std::optional<SegmentName> parse_segment(const std::string& name, std::uint64_t segment_size);

std::string history_name(Timeline timeline);  // "00000002.history"
std::optional<Timeline> parse_history_name(const std::string& name);

// A piece of a timeline's past: the positions [begin, end) belong to `timeline`.
struct Stretch {
  Timeline timeline = 0;
  Lsn begin = 0;
  Lsn end = 0;  // of the last stretch: the largest position there is
};
using Path = std::vector<Stretch>;  // oldest first, each beginning where the one before ends

// The path of a timeline, from its history file's text; without a file (timeline 1 has none) itself alone.
// A line that cannot be read, or switch points that go back, are a permanent Error that names `file`.
Path parse_history(Timeline timeline, const std::string& text, const std::string& file);
Path path_without_history(Timeline timeline);

Timeline timeline_at(const Path& path, Lsn lsn);  // of the stretch that holds the position

// Can a backup that was made on `timeline` and ended at `end` be rolled along the path? It can when the path
// is on that timeline up to the backup's end.
bool leads_on(const Path& path, Timeline timeline, Lsn start, Lsn end);

// What the first 40 bytes of a segment say of it.
struct SegmentHeader {
  Timeline timeline = 0;
  Lsn address = 0;
  std::uint64_t system_identifier = 0;
  std::uint32_t segment_size = 0;
};
std::optional<SegmentHeader> parse_segment_header(const std::string& bytes);  // nothing: no such header

// WAL is written in pages, each of which tells its place. Of the one at `offset` in a segment's bytes.
constexpr std::uint64_t wal_page = 8192;
Lsn page_address(const std::string& segment, std::uint64_t offset);

}  // namespace relight::postgres
