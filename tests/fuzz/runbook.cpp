// A runbook, as the child that evaluates it does, in two fresh states. Patterns are left out: one can run for
// years without a hook, and only the child's timer ends it.
#include "tests/support/runbook.h"
#include "runner/lang/evaluation.h"
#include "runner/lang/words.h"
#include "runner/sys/json_whole.h"
#include "tests/fuzz/fuzz.h"

namespace relight {
namespace {

constexpr const char* module_text = "return { port = 5432, name = function(x) return \"a\" .. x end }\n";

std::string plan_of(const std::string& text) {
  static const std::vector<const StepType*> types = lang::with_words(fake_types());
  const lang::Limits limits = {.instructions = 50'000, .memory = 4u << 20, .cpu_seconds = 10};
  lang::Sources sources("fuzz.lua", {{"fuzz.lua", text}, {"common.lua", module_text}});
  lang::Scans scans;
  const lang::Given given;
  lang::Evaluation evaluation(sources, scans, types, given, limits);
  const Plan plan = evaluation.run();
  const Plan again = plan_from_text(evaluation.plan_text(), plan.digest, types);
  fuzz::must(text_of(again) == evaluation.plan_text(), "a plan is read back as it was written");
  return evaluation.plan_text();
}

}  // namespace

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  for (const char* word : {"find", "match", "gsub"})
    if (text.find(word) != std::string::npos) return;
  std::string first, second;
  const bool good = takes([&] { first = plan_of(text); });
  must(takes([&] { second = plan_of(text); }) == good && first == second, "a plan is the same each time");
}

}  // namespace relight
