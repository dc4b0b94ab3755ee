// rehearse: would this runbook come back?
#include "runner/rehearse/rehearsal.h"

#include <fmt/core.h>

#include <cstdio>

#include "runner/cli/commands.h"
#include "runner/cli/given.h"
#include "runner/cli/print.h"
#include "runner/engine/engine.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

std::string rehearsal_text(const Plan& plan, const Rehearsal& seen) {
  std::string text =
      fmt::format("rehearsal of {}, {}, simulated: {} in a run without a fault\n", plan.runbook,
                  counted(plan.steps.size(), "step"), counted(seen.records, "record"));
  text +=
      fmt::format("  killed {} in the run, {} more in the resume, {} in the rollback; {} failed in turn\n",
                  counted(seen.run_kills, "time"), seen.resume_kills, seen.rollback_kills,
                  counted(seen.failures, "step"));
  if (seen.findings.empty()) return text + "it comes back from every one of them\n";
  text += "it would not come back by itself:\n";
  for (const Finding& finding : seen.findings) {
    const std::string step = finding.step.empty() ? "" : finding.step + ": ";
    text += "  " + wrapped(step + finding.what + (finding.when.empty() ? "" : " (" + finding.when + ")"), 4) +
            "\n";
    text += "    hint: " + wrapped(finding.mend, 10) + "\n";
  }
  return text;
}

Json rehearsal_json(const Plan& plan, const Rehearsal& seen) {
  Json findings = Json::array();
  for (const Finding& finding : seen.findings)
    findings.push_back({{"when", finding.when},
                        {"record", finding.record},
                        {"step", finding.step},
                        {"what", finding.what},
                        {"mend", finding.mend}});
  return {{"runbook", plan.runbook},           {"digest", plan.digest},
          {"records", seen.records},           {"run_kills", seen.run_kills},
          {"resume_kills", seen.resume_kills}, {"rollback_kills", seen.rollback_kills},
          {"failures", seen.failures},         {"findings", findings}};
}

}  // namespace

int command_rehearse(const Options& options, const Program& program) {
  const lang::Evaluated result = evaluated(options.runbook, given_inputs(options), program);
  const Rehearsal seen = rehearse(result.plan, options.seed);
  if (options.json)
    std::printf("%s\n", rehearsal_json(result.plan, seen).dump().c_str());
  else
    std::fputs(rehearsal_text(result.plan, seen).c_str(), stdout);
  return seen.findings.empty() ? exit_done : exit_failed;
}

}  // namespace relight
