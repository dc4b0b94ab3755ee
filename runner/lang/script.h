// The `script` step: Lua functions as the work of a step.
#pragma once
#include <memory>
#include <vector>

#include "runner/step/step.h"

namespace relight::lang {

std::vector<Field> script_fields();
std::unique_ptr<Step> make_script();

}  // namespace relight::lang
