// The timelines of an archive, for people: which left which, and which of them are followed.
#pragma once
#include <string>
#include <vector>

#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// A line each, a child indented below its parent: "timeline 2 left 1 at 0/5000148, followed". A history that
// cannot be read is left out.
std::vector<std::string> timeline_tree(const WalArchive& archive, const Path& followed);

}  // namespace relight::postgres
