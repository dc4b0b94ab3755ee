#include "runner/lang/evaluate.h"

#include <nlohmann/json.hpp>

#include "runner/lang/child.h"
#include "runner/lang/evaluation.h"
#include "runner/lang/words.h"

namespace relight::lang {

namespace {

// In the child: the whole answer, from two states that share nothing but the files' bytes.
Json evaluate_twice(const EvaluateRequest& request, const std::vector<const StepType*>& types) {
  Sources sources(request.runbook_path, library_folder(), request.limits.file_size);
  Json answer;
  std::string digest;
  {
    Evaluation first(sources, types, request.given, request.limits);
    const Plan plan = first.run();
    digest = plan.digest;
    answer["plan"] = to_json(plan);
    answer["warnings"] = first.warnings();
    answer["given"] = *first.given_inputs();
  }
  Evaluation second(sources, types, request.given, request.limits);
  if (second.run().digest != digest)
    throw RunbookError({{{sources.runbook_name(), 0},
                         "",
                         "it gives another plan each time it is read",
                         "this is a fault of relight: please report it, with the runbook",
                         nullptr}});
  Json& files = answer["sources"] = Json::array();
  for (SourceFile& file : sources.all()) files.push_back({std::move(file.name), std::move(file.bytes)});
  return answer;
}

}  // namespace

Evaluated evaluate(const EvaluateRequest& request) {
  const std::vector<const StepType*> types = with_words(request.types);
  const Json answer =
      in_child(request.limits, request.runbook_path, [&] { return evaluate_twice(request, types); });
  Evaluated evaluated;
  evaluated.plan = plan_from_json(answer["plan"], types);
  evaluated.given = std::make_shared<const Json>(answer["given"]);
  evaluated.warnings = answer["warnings"].get<std::vector<std::string>>();
  for (const Json& file : answer["sources"]) evaluated.sources.push_back({file[0], file[1]});
  return evaluated;
}

}  // namespace relight::lang
