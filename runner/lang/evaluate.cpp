#include "runner/lang/evaluate.h"

#include "runner/lang/child.h"
#include "runner/lang/evaluation.h"
#include "runner/lang/words.h"
#include "runner/sys/digest.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

namespace {

// In a child: the whole answer, or for the second look the digest alone. Nothing is freed: the process ends
// when it has answered.
Json evaluate_once(const EvaluateRequest& request, const std::vector<const StepType*>& types, bool whole) {
  auto& sources = *new Sources(request.runbook_path, library_folder(), request.limits.file_size);
  auto& evaluation = *new Evaluation(sources, *new Scans, types, request.given, request.limits);
  auto& plan = *new Plan(evaluation.run());
  if (!whole) return plan.digest;
  Json files = Json::array();
  for (SourceFile& file : sources.all()) files.push_back({std::move(file.name), std::move(file.bytes)});
  return {{"plan", evaluation.plan_text()},
          {"digest", plan.digest},
          {"warnings", evaluation.warnings()},
          {"given", *evaluation.given_inputs()},
          {"sources", std::move(files)}};
}

}  // namespace

Evaluated evaluate(const EvaluateRequest& request) {
  const std::vector<const StepType*> types = with_words(request.types);
  // Three processes hash the plan: what OpenSSL reads for its first hash is read before the forks, once.
  sys::sha256_hex("");
  // Twice, side by side, in two processes that share nothing: what differs between them is no plan.
  Child first(request.limits, request.runbook_path, [&] { return evaluate_once(request, types, true); });
  Child second(request.limits, request.runbook_path, [&] { return evaluate_once(request, types, false); });
  const Json answer = first.answer();
  if (second.answer() != answer["digest"])
    throw RunbookError(
        {{{sys::name_of_path(request.runbook_path), 0},
          "",
          "it gives another plan each time it is read",
          "was it changed just now? else this is a fault of relight: please report it, with the runbook",
          nullptr}});
  Evaluated evaluated;
  evaluated.plan = plan_from_text(answer["plan"].get_ref<const std::string&>(),
                                  answer["digest"].get<std::string>(), types);
  evaluated.given = std::make_shared<const Json>(answer["given"]);
  evaluated.warnings = answer["warnings"].get<std::vector<std::string>>();
  for (const Json& file : answer["sources"]) evaluated.sources.push_back({file[0], file[1]});
  return evaluated;
}

}  // namespace relight::lang
