// What a recovery was worth: RTO, RPO, and whether the budget holds. Pure.
#pragma once
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/plan/plan.h"
#include "runner/sys/json.h"

namespace relight {

// {"rto_ms", "rto_from": "lost_at" | "start", "waited_ms", "rpo_ms" (at most), "rpo_at_least_ms",
// "last_commit", "lost_at", "over": [text...],
//  "unwaived": [step...], "waived": [{step, why}...], "probes": N}; what is unknown is null.
// `now_wall`, `now_boot_ms`: the end of the run.
Json verdict_of(const Plan& plan, const RunRecord& record, const std::string& now_wall,
                std::int64_t now_boot_ms);

// Is there an RPO to tell: a budget for it, a step that told its last commit, or one whose type declares it?
bool asks_rpo(const Plan& plan, const Json& verdict);

// The exit code of a run that came to its end: 7 for over budget or an error that was waived by nobody, else
// 0.
int exit_of_done(const Json& verdict);

// What the plan can say beforehand: budgets that will be unknown ("RPO will be unknown: ...").
std::vector<std::string> unknown_budgets(const Plan& plan);

}  // namespace relight
