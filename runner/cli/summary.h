// Where a run stands, as text and as the JSON of `status`.
#pragma once
#include <optional>
#include <string>

#include "runner/engine/recovery.h"
#include "runner/engine/run_folder.h"
#include "runner/plan/plan.h"

namespace relight {

// {"run","runbook","state","protected","steps":[{"name","type","state","attempts","started_at","finished_at","outputs"}]}
Json status_json(const RunFolder& folder, const Plan& plan, const RunRecord& record);
std::string status_text(const RunFolder& folder, const Plan& plan, const RunRecord& record);

// The last words of run, resume and rollback: what came of it, what it was worth, and what to type next.
std::string summary_text(const RunFolder& folder, const Plan& plan, const RunRecord& record, int exit);
Json summary_json(const RunFolder& folder, const Plan& plan, const RunRecord& record, int exit);

// False: a new timeline without a base backup yet (NOT PROTECTED); true: there is one; nothing: no step told.
std::optional<bool> is_protected(const Plan& plan, const RunRecord& record);

// Where an undo has taken a backup, as its kept copy was gone: what it has told of that; else "".
std::string from_backup(const StepRecord& past);

// "RTO 4m 05s (budget 30m), RPO 12.0s (budget 5m)", from the verdict of a run that is done.
std::string worth_text(const Plan& plan, const Json& verdict);

}  // namespace relight
