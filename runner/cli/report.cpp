// report: the evidence of a run.
#include <fmt/core.h>

#include <cstdio>

#include "runner/cli/commands.h"
#include "runner/cli/print.h"
#include "runner/cli/summary.h"
#include "runner/engine/opening.h"
#include "runner/engine/verdict.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

std::int64_t took_ms(const StepRecord& step) {
  // An approval that was given beforehand has no beginning.
  return step.finished_at.empty() || step.started_at.empty() ? 0
                                                             : step.finished_boot_ms - step.started_boot_ms;
}

Json report_json(const RunFolder& folder, const Plan& plan, const RunRecord& record) {
  Json json = status_json(folder, plan, record);
  Json inputs = Json::object();
  for (auto it = plan.inputs->begin(); it != plan.inputs->end(); ++it) inputs[it.key()] = shown(*it);
  json["inputs"] = inputs;
  json["digest"] = plan.digest;
  json["program"] = record.program;
  json["opened_at"] = record.opened_at;
  json["ended_at"] = record.ended_at.empty() ? Json(nullptr) : Json(record.ended_at);
  json["exit"] = record.exit_code;
  json["verdict"] = record.verdict ? *record.verdict : Json(nullptr);
  json["budget"] = {{"rto_ms", plan.budget.rto ? Json(plan.budget.rto->count()) : Json(nullptr)},
                    {"rpo_ms", plan.budget.rpo ? Json(plan.budget.rpo->count()) : Json(nullptr)}};
  for (Json& step : json["steps"]) {
    const StepRecord& past = record.step(step["name"].get<std::string>());
    step["took_ms"] = took_ms(past);
    step["notes"] = past.notes ? *past.notes : Json::object();
  }
  return json;
}

std::string report_text(const RunFolder& folder, const Plan& plan, const RunRecord& record) {
  std::string out = fmt::format("Report of run {}\n\n", folder.id());
  const auto row = [&](const char* name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<12} {}\n", name, wrapped(value, 15));
  };
  row("runbook", plan.runbook + " (" + plan.file + ")");
  row("plan", plan.digest);
  row("program", record.program);
  row("began", record.opened_at);
  row("ended", record.ended_at);
  row("state", name_of(record.state));
  for (auto it = plan.inputs->begin(); it != plan.inputs->end(); ++it)
    if (!it->is_null()) row("input", it.key() + " = " + shown(*it));
  if (record.verdict && record.verdict->is_object() && record.verdict->contains("rto_ms")) {
    const Json& verdict = *record.verdict;
    out += "\nWhat the recovery was worth\n";
    for (const std::string& line : sys::split(worth_text(plan, verdict), '\n'))
      if (!line.empty()) out += "  " + wrapped(line, 4) + "\n";
    row("RTO from", verdict["rto_from"] == "lost_at"
                        ? "the moment of loss, " + verdict["lost_at"].get<std::string>()
                        : "the start of the run");
    if (verdict["waited_ms"].get<std::int64_t>() > 0)
      row("of it", sys::show_duration(std::chrono::milliseconds(verdict["waited_ms"].get<std::int64_t>())) +
                       " were spent waiting for people");
    if (!verdict["last_commit"].is_null()) row("last commit", verdict["last_commit"].get<std::string>());
    const Json at_least = verdict.value("rpo_at_least_ms", Json());
    if (!at_least.is_null())
      row("RPO",
          at_least == verdict["rpo_ms"]
              ? "by the heartbeat: the database was alive until then"
              : "at least " + sys::show_duration(std::chrono::milliseconds(at_least.get<std::int64_t>())) +
                    ": without a heartbeat nobody knows whether anything was written behind the last commit");
    if (verdict["rpo_ms"].is_null() && asks_rpo(plan, verdict))
      row("RPO", verdict["lost_at"].is_null() ? "unknown: lost_at was not given"
                                              : "unknown: no step told the last commit");
  }
  for (const auto& [step, watched] : record.watched) {
    out += "\nDowntime, as the probe " + step + " saw it\n";
    if (watched.outages.empty()) out += "  none\n";
    for (const Outage& outage : watched.outages)
      out += fmt::format("  {:>9}  from {} to {}{}\n",
                         outage.to.empty() ? "" : sys::show_duration(outage.length), outage.from,
                         outage.to.empty() ? "now, as far as is known" : outage.to,
                         outage.in_rollback ? ", rolled back" : "");
  }
  out += "\nSteps\n";
  std::size_t width = 4;
  for (const PlannedStep& step : plan.steps) width = std::max(width, step.name.size());
  width = std::min<std::size_t>(width, 24);
  for (const PlannedStep& step : plan.steps) {
    const StepRecord& past = record.step(step.name);
    const std::string time = took_ms(past) > 0 || past.state == StepRecord::State::done
                                 ? sys::show_duration(std::chrono::milliseconds(took_ms(past)))
                                 : "";
    out += fmt::format("  {:<{}}  {:<9} {:>9}  {}\n", step.name, width, name_of(past.state), time, step.type);
    if (past.attempts > 1) out += fmt::format("  {:<{}}  {} attempts\n", "", width, past.attempts);
    if (past.error && past.state == StepRecord::State::failed)
      out += fmt::format("  {:<{}}  {}\n", "", width, wrapped(past.error->what(), width + 4));
    if (const std::string told = from_backup(past); !told.empty())
      out += fmt::format("  {:<{}}  {}\n", "", width, wrapped(told, width + 4));
    if (past.outputs && past.outputs->is_object() && past.state == StepRecord::State::done)
      for (auto it = past.outputs->begin(); it != past.outputs->end(); ++it)
        if (!it->is_null())
          out += fmt::format("  {:<{}}  {} = {}\n", "", width, it.key(),
                             wrapped(shown(*it), width + 7 + it.key().size()));
  }
  if (is_protected(plan, record) == false)
    out += "\nNOT PROTECTED: there is no base backup of the new timeline yet.\n";
  return out;
}

}  // namespace

int command_report(const Options& options, const Program& program) {
  RunFolder folder = RunFolder::find(options.state, options.run);
  const RunRecord record = record_of(folder);
  const Plan plan = folder.plan(program.types);
  const std::string text = options.format == "json" ? report_json(folder, plan, record).dump(2) + "\n"
                                                    : report_text(folder, plan, record);
  if (options.out.empty())
    std::fputs(text.c_str(), stdout);
  else
    sys::write_file(sys::absolute(options.out), text, 0644);
  return 0;
}

}  // namespace relight
