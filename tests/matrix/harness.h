// The crash matrix: every case is one run that is disturbed; what ran and what held is counted.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "tests/matrix/case.h"

namespace relight {

// Of the cases, those that are tried: all with RELIGHT_TEST_ALL, else one of `one_of` (fewer with
// RELIGHT_TEST_PART), drawn from a seed (RELIGHT_SEED, else 1).
bool chosen(const std::string& what, std::uint32_t one_of);
std::uint32_t drawn(const std::string& what, std::uint32_t below);  // a number that the seed gives

// Runs the case and counts it; with RELIGHT_CASE only those whose names begin so. One that does not hold is a
// failed check that names it; after ten of them the rest is not tried. The last line of the process says how
// many ran, and how many held.
void try_case(const std::string& what, const std::function<void()>& act);

}  // namespace relight
