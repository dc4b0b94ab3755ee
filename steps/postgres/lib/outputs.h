// What a recovery tells: where the database will answer, up to when it is back, what was lost.
#pragma once
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "runner/sys/json.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/replay.h"

namespace relight::postgres {

// `tree`: the new data directory, still beside. `config`: the folder whose postgresql.conf will be in force;
// empty: the tree's own, or Debian's that is there. `heartbeat`: ISO 8601; empty: unknown. `quieted`: by the
// catalog (quieted.h); what its settings add stands before it.
Json outputs_of(const Wish& wish, const Decision& decision, const Programs& programs,
                const Replayed& replayed, const std::string& heartbeat, const Json& quieted,
                const std::string& tree, const std::string& config, std::uint64_t bytes);

// All that outputs_of tells, as the types declare it: of a whole recovery, and of a copy that moved on.
std::vector<Output> recovery_outputs();
std::vector<Output> copy_outputs();
inline constexpr const char* of_no_copy[] = {"bytes", "segments", "system_identifier", "protected"};

// What keeps a recovered cluster from archiving into `folder`: the WAL of another must not lie there. One
// that is not there yet, and cannot be made, an earlier step may make.
void foresee_archive(const std::string& folder, Preview& preview);
void refuse_archive(const std::string& folder);  // the same as a refused Error

}  // namespace relight::postgres
