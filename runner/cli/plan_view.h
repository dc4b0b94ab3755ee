// A plan as it is shown: for people and as JSON.
#pragma once
#include <set>
#include <string>

#include "runner/engine/previews.h"
#include "runner/engine/recovery.h"
#include "runner/plan/plan.h"

namespace relight {

std::string plan_text(const Plan& plan, const PlanPreview& preview);

// What a rollback would undo, in this order, and what newer data it would put aside or take away (`seen`, of
// preview_undo).
std::string undo_text(const Plan& plan, const RunRecord& record, const std::vector<std::size_t>& order,
                      const std::unordered_map<std::string, Preview>& seen);

// {"runbook", "digest", "steps": [{"name", "type", "line", "after", "doc", "verdict", "summary", "problems",
// "hints", "keeps", "cannot_undo", "undo", "params"}...], "problems"}
Json plan_json(const Plan& plan, const PlanPreview& preview);

// Steps that could not tell yet what they would do: their preview is made again just before them.
std::set<std::string> undecided(const PlanPreview& preview);

}  // namespace relight
