#include "runner/cli/plan_view.h"

#include <fmt/core.h>

#include "runner/cli/print.h"
#include "runner/engine/verdict.h"
#include "runner/engine/worker.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

const Preview& preview_of(const PlanPreview& preview, const std::string& name) {
  static const Preview none;
  const auto it = preview.steps.find(name);
  return it == preview.steps.end() ? none : it->second;
}

// What an undo of the step leaves, in one phrase; empty: nothing.
std::string left_by_undo(const PlannedStep& step, const Preview& preview) {
  if (step.type == approve_type || preview.verdict == Preview::Verdict::nothing_to_do) return "";
  if (!preview.cannot_undo.empty()) return preview.cannot_undo;
  switch (step.step_type->undo) {
    case Undo::whole:
    case Undo::given:
      return "";
    case Undo::part:
      return step.step_type->stays;
    case Undo::none:
      return "all: there is no way back";
  }
  return "";
}

std::string head_of(const PlannedStep& step, const Preview& preview) {
  if (step.type == approve_type) return "asks: " + step.params->value("prompt", "");
  std::string text = preview.summary;
  if (preview.verdict == Preview::Verdict::nothing_to_do)
    text = "nothing to do" + (text.empty() ? "" : ": " + text);
  else if (preview.verdict == Preview::Verdict::cannot_yet_tell)
    text =
        (preview.proved_after.empty() ? "told when its turn comes" : "proved after " + preview.proved_after) +
        (text.empty() ? "" : ": " + text);
  if (text.empty()) text = step.doc.empty() ? step.type : step.doc;
  return text;
}

std::string inputs_text(const Plan& plan) {
  std::string text;
  for (auto it = plan.inputs->begin(); it != plan.inputs->end(); ++it)
    if (!it->is_null())
      text += fmt::format("  {} = {}\n", it.key(), wrapped(shown(*it), 6 + it.key().size()));
  return text.empty() ? "" : "inputs\n" + text + "\n";
}

}  // namespace

std::string plan_text(const Plan& plan, const PlanPreview& preview) {
  std::string out =
      fmt::format("plan of {} ({}), digest {}\n\n", plan.runbook, plan.file, plan.digest.substr(0, 16));
  if (!plan.doc.empty()) out += wrapped(plan.doc, 0) + "\n\n";
  out += inputs_text(plan);
  std::size_t width = 4;
  for (const PlannedStep& step : plan.steps) width = std::max(width, step.name.size());
  width = std::min<std::size_t>(width, 20);
  const std::size_t digits = std::to_string(plan.steps.size()).size();
  const std::size_t indent = digits + 4 + width;
  int changing = 0, idle = 0, open = 0, problems = static_cast<int>(preview.problems.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    const Preview& seen = preview_of(preview, step.name);
    out += fmt::format("{:>{}}  {:<{}}  {}\n", i + 1, digits, step.name, width,
                       wrapped(head_of(step, seen), indent));
    const std::string pad(indent, ' ');
    for (const std::string& kept : seen.keeps) out += pad + "keeps " + wrapped(kept, indent + 6) + "\n";
    for (const std::string& hint : seen.hints) out += pad + "note: " + wrapped(hint, indent + 6) + "\n";
    if (step.when) out += pad + "when: " + wrapped(shown(*step.when), indent + 6) + "\n";
    if (step.watch.count() > 0)
      out += pad + "looks every " + sys::show_duration(step.watch) + ", and tells the downtime\n";
    if (!step.no_return.empty())
      out += pad + "POINT OF NO RETURN: " + wrapped(step.no_return, indent + 20) + "\n";
    if (const std::string left = left_by_undo(step, seen); !left.empty())
      out += pad + "undo leaves " + wrapped(left, indent + 12) + "\n";
    for (const Problem& problem : seen.problems) {
      const std::string text = problem_text(problem, indent);
      out += pad.substr(0, indent > 9 ? indent - 9 : 0) + "PROBLEM  " + text.substr(indent);
      ++problems;
    }
    if (step.type == approve_type) continue;
    switch (seen.verdict) {
      case Preview::Verdict::nothing_to_do:
        ++idle;
        break;
      case Preview::Verdict::would_change:
        ++changing;
        break;
      case Preview::Verdict::cannot_yet_tell:
        ++open;
        break;
    }
  }
  out += "\n";
  for (const Problem& problem : preview.problems) out += "PROBLEM  " + problem_text(problem, 9).substr(9);
  for (const std::string& told : unknown_budgets(plan)) out += "note: " + wrapped(told, 6) + "\n";
  std::string sum =
      fmt::format("{}: {} to do, {} done already", counted(plan.steps.size(), "step"), changing, idle);
  if (open > 0) sum += fmt::format(", {} told when their turn comes", open);
  if (problems > 0)
    sum += fmt::format("; {} in the way",
                       problems == 1 ? "1 problem is" : fmt::format("{} problems are", problems));
  out += wrapped(sum + ". Nothing was touched.", 2) + "\n";
  return out;
}

std::string undo_text(const Plan& plan, const RunRecord& record, const std::vector<std::size_t>& order,
                      const std::unordered_map<std::string, Preview>& seen) {
  std::vector<std::string> names;
  std::string newer;
  for (const std::size_t i : order) {
    const std::string& name = plan.steps[i].name;
    names.push_back(name);
    const auto found = seen.find(name);
    if (found == seen.end()) continue;
    for (const std::string& line : found->second.hints) newer += "  " + wrapped(name + ": " + line, 4) + "\n";
    const bool no_way = !found->second.cannot_undo.empty();
    for (const Problem& problem : found->second.problems)
      newer += "  " +
               wrapped(name + (no_way ? ": NO WAY BACK: " : ": cannot tell what was written since: ") +
                           problem.what + ": " + problem.on + ": " + problem.why,
                       4) +
               "\n";
  }
  return wrapped("rollback of run " + record.run +
                     " undoes, in this order: " + (names.empty() ? "nothing" : sys::join(names, ", ")),
                 2) +
         "\n" + (newer.empty() ? "" : "what is newer than what it puts back\n" + newer);
}

Json plan_json(const Plan& plan, const PlanPreview& preview) {
  Json steps = Json::array();
  for (const PlannedStep& step : plan.steps) {
    const Preview& seen = preview_of(preview, step.name);
    Json json = {
        {"summary", ""}, {"problems", Json::array()}, {"hints", Json::array()}, {"keeps", Json::array()}};
    json.update(to_json(seen));
    json["name"] = step.name;
    json["type"] = step.type;
    json["file"] = step.file;
    json["line"] = step.line;
    json["after"] = step.after;
    json["params"] = *step.params;
    const Undo undo = step.step_type->undo;
    const bool none = undo == Undo::none || (undo == Undo::given && !step.params->contains("undo"));
    json["no_return"] = step.no_return.empty() ? Json(nullptr) : Json(step.no_return);
    json["undo"] = none ? "none" : undo == Undo::part ? "part" : "whole";
    steps.push_back(std::move(json));
  }
  Preview whole;
  whole.problems = preview.problems;
  return {{"runbook", plan.runbook},
          {"doc", plan.doc},
          {"digest", plan.digest},
          {"steps", std::move(steps)},
          {"problems", to_json(whole).value("problems", Json::array())}};
}

std::set<std::string> undecided(const PlanPreview& preview) {
  std::set<std::string> names;
  for (const auto& [name, step] : preview.steps)
    if (step.verdict == Preview::Verdict::cannot_yet_tell) names.insert(name);
  return names;
}

}  // namespace relight
