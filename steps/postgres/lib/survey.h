// What a recovery would do, found out by reading only: the one look that the plan prints and the apply acts
// on.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/tablespaces.h"
#include "steps/postgres/lib/walk.h"
#include "steps/postgres/lib/wish.h"

namespace relight::postgres {

struct Survey {
  std::vector<Problem> problems;
  std::vector<std::string> hints;
  std::string unknown;  // why it cannot yet be told whether the recovery will do; empty: it can
  std::optional<BaseBackup> base;
  std::optional<Programs> programs;
  std::optional<Target> target;
  ClusterThere there;
  std::vector<NewTablespace> tablespaces;
  std::string config_from;
  std::uint64_t segment_size = default_segment_size;
  std::map<std::string, std::uint64_t> space;
  Path path;                           // the timelines followed
  std::vector<std::string> timelines;  // all that there are, as a tree
  std::optional<WalkAnswer> walk;      // nothing: the WAL could not be looked at
};

struct SurveyOptions {
  bool every_byte = false;
  std::string run;  // names the new tablespaces
  std::function<bool()> stop;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  std::function<void(const WalRecord&)> see = {};  // as a walk has it
  bool every_record = false;
  bool wal_alone = false;  // the base backup has been checked
};
// Throws only for what says nothing about the recovery itself (a stop, what may pass by itself).
Survey survey(const Wish& wish, const SurveyOptions& options);
// Of the base backup and the WAL alone, wherever they may be recovered to: `base`, `wal` and `moment` count.
Survey survey_backup(const Wish& wish, const SurveyOptions& options);

// The archive as the apply uses it: the WAL folders, then what came with the base backup, unpacked into
// `scratch` where that is an archive, then the pg_wal of what lies at the target, unless a server runs there.
WalArchive open_archive(const Wish& wish, const BaseBackup& base, const std::string& scratch,
                        std::vector<Problem>& problems);

}  // namespace relight::postgres
