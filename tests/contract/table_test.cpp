#include <doctest/doctest.h>

#include <algorithm>

#include "runner/step/step.h"
#include "tests/contract/fixture.h"

using namespace relight;

TEST_CASE("every step type has a fixture for the contract") {
  for (const StepType* type : step_table())
    if (std::none_of(subjects().begin(), subjects().end(),
                     [&](const Subject& subject) { return subject.type == type->name; }))
      FAIL_CHECK(type->name, " has no fixture: add one to tests/contract");
}
