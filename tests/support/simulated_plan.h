// Plans for the simulated world: a few steps that wait for some of the ones before, each with fields drawn at
// random.
#pragma once
#include <random>

#include "runner/plan/plan.h"

namespace relight {

Plan simulated_plan(std::mt19937_64& random);

}  // namespace relight
