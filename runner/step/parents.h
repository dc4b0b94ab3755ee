// The folders that a step must make on the way to its target, and that its undo takes away again.
#pragma once
#include <optional>
#include <string>

#include "runner/step/call.h"
#include "runner/step/step.h"

namespace relight {

// Makes the missing parents of `path` (0755), each noted before it is made.
void make_parents(Call& call, const std::string& path);

// Removes the noted folders that are empty, deepest first; one that holds something by now stays.
void remove_made_parents(Call& call);

// What keeps everybody from writing at `path`: a file system that is mounted read-only, an immutable folder.
// Looks at the nearest of its parents that is there.
std::optional<Problem> write_protected(const std::string& what, const std::string& path);

}  // namespace relight
