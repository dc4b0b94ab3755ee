// The names of an archive, a timeline's history, the lines of pg_waldump: texts that name WAL positions.
#include "steps/postgres/lib/moment.h"
#include "steps/postgres/lib/wal.h"
#include "steps/postgres/lib/waldump.h"
#include "tests/fuzz/fuzz.h"

namespace relight {
namespace {

using namespace postgres;

void look_at_line(const std::string& line) {
  for (const std::uint64_t size : {1u << 20, 16u << 20, 1u << 30}) {
    if (const auto segment = parse_segment(line, size))
      fuzz::must(show_segment(segment->timeline, segment->number, size) == line, "a name is shown as it was");
    parse_complaint(line, size);
  }
  if (const auto timeline = parse_history_name(line))
    fuzz::must(history_name(*timeline) == line, "a history's name is shown as it was");
  if (const auto lsn = parse_lsn(line))
    fuzz::must(parse_lsn(show_lsn(*lsn)) == lsn, "a position is read back as it was");
  fuzz::takes([&] {
    const Moment moment = parse_moment(line);
    if (moment.kind == Moment::Kind::lsn)
      fuzz::must(parse_lsn(show_lsn(moment.lsn)) == moment.lsn, "a moment's position is read back");
  });
}

void look_at_history(const std::string& text) {
  constexpr Timeline timeline = 9;
  const Path path = parse_history(timeline, text, "00000009.history");
  fuzz::must(path.front().begin == 0 && path.back().timeline == timeline, "a path leads to its timeline");
  for (std::size_t i = 0; i < path.size(); ++i) {
    fuzz::must(i == 0 || (path[i].begin == path[i - 1].end && path[i].timeline > path[i - 1].timeline),
               "a stretch begins where the one before ends");
    if (path[i].begin < path[i].end)
      fuzz::must(timeline_at(path, path[i].begin) == path[i].timeline &&
                     leads_on(path, path[i].timeline, path[i].begin, path[i].end),
                 "a position belongs to its stretch");
  }
}

}  // namespace

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  takes([&] { look_at_history(text); });
  parse_segment_header(text);
  MomentSearch search(Moment{});
  while (!bytes.empty()) {
    const std::string line(part(bytes, '\n'));
    look_at_line(line);
    if (const auto record = parse_record(line)) search.see(*record);
  }
}

}  // namespace relight
