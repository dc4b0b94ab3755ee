// The two step types that are words of the language.
#pragma once
#include <vector>

#include "runner/step/step.h"

namespace relight::lang {

const StepType& approve_word();  // approve "NAME" { prompt = "..." }: the engine asks, no step is made
const StepType& script_word();   // script "NAME" { run = function(ctx) ... end, undo = ... }

// `types` and the two words.
std::vector<const StepType*> with_words(const std::vector<const StepType*>& types);

}  // namespace relight::lang
