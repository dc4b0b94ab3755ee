// The fields that every step takes, beside those of its type.
#pragma once
#include <string>
#include <vector>

#include "runner/plan/plan.h"

namespace relight::lang {

// For checking, and for the step reference. `after` and `when` are checked by the builder: they hold handles
// and functions.
const std::vector<Field>& common_fields();
// Beside these, what a probe takes: `proves`, and `watch` where its type watches. None for other types.
const std::vector<Field>& probe_fields(const StepType& type);

const Field* find_field(const std::vector<Field>& fields, const std::string& name);

std::string top_of(const std::string& field);  // "expect" of "expect.json[2]"

// Checks the value of one common field and puts it into the step.
std::vector<Fault> take_common(const Field& field, const Json& value, PlannedStep& step);

OnFailure on_failure_named(const std::string& name);

}  // namespace relight::lang
