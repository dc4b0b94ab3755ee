#include "runner/cli/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "runner/cli/print.h"
#include "runner/engine/engine.h"
#include "runner/engine/scheduler.h"
#include "runner/engine/verdict.h"
#include "runner/step/kept_copy.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

using std::chrono::milliseconds;

Json null_if_empty(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

std::string took(const StepRecord& step) {
  if (step.started_at.empty() || step.finished_at.empty()) return "";
  return sys::show_duration(milliseconds(step.finished_boot_ms - step.started_boot_ms));
}

std::string measured(const Plan& plan, const char* name, const Json& value,
                     const std::optional<milliseconds> Budget::*budget) {
  std::string text =
      fmt::format("{} {}", name,
                  value.is_null() ? "unknown" : sys::show_duration(milliseconds(value.get<std::int64_t>())));
  if (plan.budget.*budget) text += " (budget " + sys::show_duration(*(plan.budget.*budget)) + ")";
  return text;
}

// Of each probe that watched; empty: none did.
std::string downtime_text(const RunRecord& record) {
  std::string text;
  for (const auto& [step, watched] : record.watched) {
    milliseconds forward{0}, back{0};
    std::string open;
    for (const Outage& outage : watched.outages) {
      (outage.in_rollback ? back : forward) += outage.length;
      if (outage.to.empty()) open = outage.from;
    }
    const std::string seen = ", as the probe " + step + " saw it\n";
    const bool in_rollback = back.count() > 0 && forward.count() > 0;
    if (watched.outages.empty())
      text += "downtime none" + seen;
    else if (forward + back > milliseconds(0))
      text += "downtime " + sys::show_duration(forward + back) +
              (in_rollback ? ", " + sys::show_duration(back) + " of it in the rollback" : "") + seen;
    if (!open.empty()) text += "DOWN since " + open + seen;
  }
  return text;
}

Json downtime_json(const RunRecord& record) {
  Json all = Json::array();
  for (const auto& [step, watched] : record.watched)
    for (const Outage& outage : watched.outages)
      all.push_back({{"step", step},
                     {"from", outage.from},
                     {"to", null_if_empty(outage.to)},
                     {"ms", outage.to.empty() ? Json(nullptr) : Json(outage.length.count())},
                     {"in_rollback", outage.in_rollback}});
  return all;
}

std::string kept_text(const RunFolder& folder, const RunRecord& record) {
  std::uint64_t bytes = 0;
  int things = 0;
  for (const auto& [name, step] : record.steps) {
    if (!step.kept) continue;
    for (const Json& thing : *step.kept) {
      bytes += thing.value("bytes", std::uint64_t{0});
      ++things;
    }
  }
  if (things == 0) return "";
  return fmt::format("kept: {} of what was there before{}; free it with\n  relight keep --drop {}\n",
                     sys::show_size(bytes),
                     record.state == RunRecord::State::rolled_back ? " the rollback" : "", folder.id());
}

// Why a run went back by itself: the steps that failed are undone by now.
std::string causes(const Plan& plan, const RunRecord& record) {
  std::string text;
  for (const PlannedStep& step : plan.steps)
    if (const StepRecord& past = record.step(step.name);
        past.state == StepRecord::State::undone && past.error)
      text += wrapped("step " + step.name + " failed: " + past.error->what(), 2) + "\n";
  return text;
}

std::string failures(const Plan& plan, const RunRecord& record, const RunFolder& folder) {
  std::string text;
  for (const PlannedStep& step : plan.steps) {
    const StepRecord& past = record.step(step.name);
    const bool asks = step.in_doubt.value_or(step.step_type->in_doubt) == InDoubt::ask;
    if (past.state == StepRecord::State::in_doubt && !asks) {
      text += wrapped(fmt::format("step {} is in doubt: it was begun and not finished. A resume settles it.",
                                  step.name),
                      2) +
              "\n";
    } else if (past.state == StepRecord::State::in_doubt) {
      text += wrapped(fmt::format("step {} is in doubt: it was begun, nobody knows whether it was done. See "
                                  "for yourself, then one of",
                                  step.name),
                      2) +
              "\n";
      text += fmt::format("  relight resume {0} --again {1}\n  relight resume {0} --done {1}\n", folder.id(),
                          step.name);
    } else if ((past.state == StepRecord::State::failed || past.undo_failed) && past.error) {
      text += wrapped(fmt::format("step {} failed: {}", step.name, past.error->what()), 2) + "\n";
      if (!past.error->hint.empty()) text += "  hint: " + wrapped(past.error->hint, 8) + "\n";
    }
  }
  return text;
}

std::string as_before(const Plan& plan, const RunRecord& record) {
  std::string text;
  for (const PlannedStep& step : plan.steps)
    if (const std::string told = from_backup(record.step(step.name)); !told.empty())
      text += "  " + wrapped(step.name + ": " + told, 4) + "\n";
  return "rolled back: what the run changed is as it was before" +
         (text.empty() ? "\n" : ", but for\n" + text);
}

bool may_roll_back(const RunRecord& record) {
  for (const auto& [name, step] : record.steps)
    if (step.touched) return true;
  return false;
}

}  // namespace

std::string from_backup(const StepRecord& past) {
  if (past.state != StepRecord::State::undone || !past.notes) return "";
  return past.notes->value(from_backup_note, "");
}

// A backup protects the cluster that it is of: of each the last word counts.
std::optional<bool> is_protected(const Plan& plan, const RunRecord& record) {
  std::map<std::string, bool> told;
  for (const PlannedStep& step : plan.steps) {
    const StepRecord& past = record.step(step.name);
    if (past.state != StepRecord::State::done || !past.outputs || !past.outputs->is_object()) continue;
    const Json said = past.outputs->value("protected", Json()),
               of = past.outputs->value("system_identifier", Json());
    if (!said.is_boolean()) continue;
    if (said.get<bool>()) told.erase("");  // one that was not named
    told[of.is_string() ? of.get<std::string>() : ""] = said.get<bool>();
  }
  if (told.empty()) return std::nullopt;
  return std::all_of(told.begin(), told.end(), [](const auto& one) { return one.second; });
}

Json status_json(const RunFolder& folder, const Plan& plan, const RunRecord& record) {
  Json steps = Json::array();
  for (const PlannedStep& step : plan.steps) {
    const StepRecord& past = record.step(step.name);
    Json json = {{"name", step.name},
                 {"type", step.type},
                 {"state", name_of(past.state)},
                 {"attempts", past.attempts},
                 {"started_at", null_if_empty(past.started_at)},
                 {"finished_at", null_if_empty(past.finished_at)},
                 {"outputs", past.outputs ? *past.outputs : Json(nullptr)}};
    if (past.error && (past.state == StepRecord::State::failed || past.undo_failed))
      json["error"] = past.error->what();
    if (const std::string told = from_backup(past); !told.empty()) json["from_backup"] = told;
    steps.push_back(std::move(json));
  }
  const auto safe = is_protected(plan, record);
  return {{"run", folder.id()},
          {"runbook", plan.runbook},
          {"state", name_of(record.state)},
          {"protected", safe ? Json(*safe) : Json(nullptr)},
          {"downtime", downtime_json(record)},
          {"steps", std::move(steps)}};
}

std::string status_text(const RunFolder& folder, const Plan& plan, const RunRecord& record) {
  std::string out = fmt::format("run {} of {}: {}\n\n", folder.id(), plan.runbook, name_of(record.state));
  std::size_t width = 4;
  for (const PlannedStep& step : plan.steps) width = std::max(width, step.name.size());
  width = std::min<std::size_t>(width, 24);
  for (const PlannedStep& step : plan.steps) {
    const StepRecord& past = record.step(step.name);
    std::string line = fmt::format("  {:<{}}  {:<9}", step.name, width, name_of(past.state));
    if (past.attempts > 1) line += fmt::format("  {} attempts", past.attempts);
    if (past.state == StepRecord::State::done || past.state == StepRecord::State::failed)
      if (const std::string time = took(past); !time.empty()) line += "  " + time;
    if (past.state == StepRecord::State::skipped) line += "  " + wrapped(past.why_skipped, width + 15);
    while (line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  if (is_protected(plan, record) == false)
    out += "\nNOT PROTECTED: there is no base backup of the new timeline yet. Take one now.\n";
  const std::string failed = failures(plan, record, folder);
  if (!failed.empty()) out += "\n" + failed;
  return out;
}

std::string worth_text(const Plan& plan, const Json& verdict) {
  if (!verdict.is_object() || !verdict.contains("rto_ms")) return "";
  std::string text = measured(plan, "RTO", verdict["rto_ms"], &Budget::rto);
  // A run of before knows no lower bound.
  const bool range =
      !verdict["rpo_ms"].is_null() && verdict.value("rpo_at_least_ms", Json()) != verdict["rpo_ms"];
  if (asks_rpo(plan, verdict))
    text += ", " + measured(plan, range ? "RPO at most" : "RPO", verdict["rpo_ms"], &Budget::rpo);
  text += "\n";
  for (const Json& over : verdict["over"]) text += "over budget: " + over.get<std::string>() + "\n";
  for (const Json& name : verdict["unwaived"])
    text += "an error was passed over, and nobody waived it: step " + name.get<std::string>() + "\n";
  for (const Json& waived : verdict["waived"])
    text += wrapped(fmt::format("an error was waived: step {}: {}", waived.value("step", ""),
                                waived.value("why", "")),
                    2) +
            "\n";
  if (verdict["probes"] == 0) text += "no probe has seen the service answer: the verdict is the steps' own\n";
  return text;
}

std::string summary_text(const RunFolder& folder, const Plan& plan, const RunRecord& record, int exit) {
  const std::string id = folder.id();
  std::string out = "\n";
  switch (exit) {
    case exit_done:
    case exit_over_budget:
      if (record.state == RunRecord::State::rolled_back) {
        out += as_before(plan, record);
      } else if (record.state == RunRecord::State::interrupted) {
        out += "rolled back to the step that was named; relight resume " + id + " goes on behind it\n";
      } else {
        out += "done\n";
        if (record.verdict) out += worth_text(plan, *record.verdict);
      }
      out += downtime_text(record);
      break;
    case exit_rolled_back:
      out += causes(plan, record) + failures(plan, record, folder) + "failed, and " +
             as_before(plan, record) + downtime_text(record);
      break;
    case exit_waiting:
      for (const PlannedStep& step : plan.steps)
        if (record.step(step.name).state == StepRecord::State::waiting)
          out += wrapped(fmt::format("waits for the approval `{}`: {}", step.name,
                                     step.params->value("prompt", "")),
                         2) +
                 fmt::format("\n  relight resume {} --approve {}\n", id, step.name);
      break;
    case exit_interrupted:
      out += "interrupted; relight resume " + id + " goes on\n";
      break;
    default:
      out += failures(plan, record, folder);
      if (record.in_rollback || record.rollback_failed) {
        out += "the rollback is not complete; mend what is in its way, then\n  relight resume " + id + "\n";
        break;
      }
      out += downtime_text(record);
      out += "next\n  relight resume " + id + "     when it is mended\n";
      if (const PlannedStep* const point = point_of_no_return(plan, record))
        out += wrapped("no way back: the step " + point->name + " was begun: " + point->no_return, 2) + "\n";
      else if (may_roll_back(record))
        out += "  relight rollback " + id + "   puts back what was changed\n";
      break;
  }
  const bool done = record.state == RunRecord::State::done;
  if (done || record.state == RunRecord::State::rolled_back) out += kept_text(folder, record);
  if (done && is_protected(plan, record) == false)
    out += "NOT PROTECTED: there is no base backup of the new timeline yet. Take one now.\n";
  return out;
}

Json summary_json(const RunFolder& folder, const Plan& plan, const RunRecord& record, int exit) {
  Json json = status_json(folder, plan, record);
  json["exit"] = exit;
  json["verdict"] = record.verdict ? *record.verdict : Json(nullptr);
  return json;
}

}  // namespace relight
