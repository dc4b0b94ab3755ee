// What a recovery tells: where the database will answer, up to when it is back, what was lost.
#pragma once
#include <optional>
#include <string>

#include "runner/sys/json.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/replay.h"

namespace relight::postgres {

// `tree`: the new data directory, still beside. `config`: the folder whose postgresql.conf will be in force;
// empty: the tree's own, or Debian's that is there. `heartbeat`: ISO 8601; empty: unknown.
Json outputs_of(const Wish& wish, const Decision& decision, const Programs& programs,
                const Replayed& replayed, const std::string& heartbeat, const std::string& tree,
                const std::string& config, std::uint64_t bytes);

// What keeps a recovered cluster from archiving into `folder`: the WAL of another must not lie there.
std::optional<Problem> wrong_with_archive_into(const std::string& folder);

}  // namespace relight::postgres
