// The contract of the steps, held by one harness for every type: preview changes nothing, apply and undo
// converge, killed or failed anywhere they come to the same end, and no secret is told.
#pragma once
#include <string>

namespace relight {

// Runs every subject whose "TYPE, VARIANT" begins with `types`, those that stand apart or the others. A case
// that does not hold is a failed check that names it; the last line of the process says how many ran and how
// many held.
void check_contract(const std::string& types, bool apart = false);

}  // namespace relight
