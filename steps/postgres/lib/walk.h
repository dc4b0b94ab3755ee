// The walk: every record from the base backup to the moment read by pg_waldump, which checks each one's CRC.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/moment.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/target.h"

namespace relight::postgres {

struct WalkQuestion {
  const WalArchive& archive;
  const Programs& programs;
  Moment moment;
  Path path;
  Lsn start = 0, backup_end = 0;
  std::optional<sys::Time> backup_started;
  std::uint64_t segment_size = default_segment_size;
  std::string system_identifier;  // empty: that of the first segment
  std::string scratch;            // a folder for decoded segments
  std::function<bool()> stop;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  // Shown each record that matters to a moment, in order and once; `every_record`: all there are.
  std::function<void(const WalRecord&)> see = {};
  bool every_record = false;
};

struct WalkAnswer {
  std::optional<Target> target;  // nothing: the problems say why
  std::vector<Problem> problems;
  std::vector<std::string> hints;
  std::size_t segments = 0;  // that were walked
  bool too_new = false;      // an older base backup may lead to the moment
  // Up to where the WAL is whole: the last record, what follows it, the latest commit before that.
  std::optional<Lsn> last;
  Lsn end = 0;
  std::optional<sys::Time> latest_commit;
};
WalkAnswer walk_wal(const WalkQuestion& question);

}  // namespace relight::postgres
