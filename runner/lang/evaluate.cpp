#include "runner/lang/evaluate.h"

#include <nlohmann/json.hpp>

#include "runner/lang/child.h"
#include "runner/lang/evaluation.h"
#include "runner/lang/words.h"

namespace relight::lang {

namespace {

// In the child: the whole answer, from two states that share nothing but the files' bytes. Nothing is freed:
// the process ends when it has answered.
Json evaluate_twice(const EvaluateRequest& request, const std::vector<const StepType*>& types) {
  auto& sources = *new Sources(request.runbook_path, library_folder(), request.limits.file_size);
  auto& scans = *new Scans;
  auto& first = *new Evaluation(sources, scans, types, request.given, request.limits);
  auto& plan = *new Plan(first.run());
  auto& second = *new Evaluation(sources, scans, types, request.given, request.limits);
  auto& again = *new Plan(second.run());
  if (again.digest != plan.digest)
    throw RunbookError({{{sources.runbook_name(), 0},
                         "",
                         "it gives another plan each time it is read",
                         "this is a fault of relight: please report it, with the runbook",
                         nullptr}});
  Json files = Json::array();
  for (SourceFile& file : sources.all()) files.push_back({std::move(file.name), std::move(file.bytes)});
  return {{"plan", first.plan_text()},
          {"digest", plan.digest},
          {"warnings", first.warnings()},
          {"given", *first.given_inputs()},
          {"sources", std::move(files)}};
}

}  // namespace

Evaluated evaluate(const EvaluateRequest& request) {
  const std::vector<const StepType*> types = with_words(request.types);
  const Json answer =
      in_child(request.limits, request.runbook_path, [&] { return evaluate_twice(request, types); });
  Evaluated evaluated;
  evaluated.plan = plan_from_text(answer["plan"].get_ref<const std::string&>(),
                                  answer["digest"].get<std::string>(), types);
  evaluated.given = std::make_shared<const Json>(answer["given"]);
  evaluated.warnings = answer["warnings"].get<std::vector<std::string>>();
  for (const Json& file : answer["sources"]) evaluated.sources.push_back({file[0], file[1]});
  return evaluated;
}

}  // namespace relight::lang
