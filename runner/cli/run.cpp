// plan, run, resume, rollback, abandon.
#include <fmt/core.h>

#include <cstdio>

#include "runner/cli/amend.h"
#include "runner/cli/commands.h"
#include "runner/cli/given.h"
#include "runner/cli/plan_view.h"
#include "runner/cli/print.h"
#include "runner/cli/summary.h"
#include "runner/cli/terminal.h"
#include "runner/engine/abandon.h"
#include "runner/engine/engine.h"
#include "runner/engine/host_world.h"
#include "runner/engine/opening.h"
#include "runner/engine/previews.h"
#include "runner/engine/scheduler.h"
#include "runner/engine/targets.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

// `plan` must outlive what is returned.
Frozen frozen_of(const Plan& plan, const lang::Evaluated& evaluated) {
  Frozen frozen;
  frozen.plan = &plan;
  frozen.inputs = evaluated.given;
  for (const lang::SourceFile& source : evaluated.sources) frozen.sources[source.name] = source.bytes;
  return frozen;
}

// The secrets that a person types: asked for once, held in memory only.
std::map<std::string, std::string> asked_secrets(const Plan& plan) {
  std::map<std::string, std::string> asked;
  for (const PlannedStep& step : plan.steps) {
    for (const std::string& name : secrets_used(*step.params)) {
      if (name.rfind("ask:", 0) != 0 || asked.count(name.substr(4)) > 0) continue;
      if (std::string bytes; ask_secret(name.substr(4), bytes)) asked[name.substr(4)] = bytes;
    }
  }
  return asked;
}

PlanPreview preview(const Plan& plan, const Options& options, bool check_secrets,
                    const std::map<std::string, std::string>& asked) {
  PreviewOptions how;
  how.full = options.full;
  how.check_secrets = check_secrets;
  how.asked = asked;
  return nothing_started("", [&] { return preview_plan(plan, how); });
}

int go(const RunFolder& folder, const Plan& plan, const Options& options, const Program& program,
       EngineOptions engine_options, const std::function<int(Engine&)>& action,
       const Frozen* amendment = nullptr) {
  HostWorld world(folder, program.types, program.hooks);
  Terminal terminal(plan, folder, options.json);
  if (amendment != nullptr) engine_options.amend = [&] { world.amend(*amendment); };
  engine_options.jobs = options.jobs;
  engine_options.approvals.insert(options.approvals.begin(), options.approvals.end());
  Engine engine(world, plan, terminal, std::move(engine_options));
  const int exit = action(engine);
  if (options.json)
    std::printf("%s\n", summary_json(folder, plan, engine.record(), exit).dump().c_str());
  else
    std::fputs(summary_text(folder, plan, engine.record(), exit).c_str(), stdout);
  return exit;
}

void must_have(const Plan& plan, const std::string& option, const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const PlannedStep& step : plan.steps) all.push_back(step.name);
  for (const std::string& name : names) {
    if (plan.find(name) != nullptr) continue;
    const std::string near = near_name(name, all);
    throw Error(ErrorKind::refused, "cannot use " + option, name, "the plan has no step of that name",
                near.empty() ? "`relight status` lists the steps" : "did you mean `" + near + "`?");
  }
}

// What there is no way back from is told while nothing is undone.
void need_way_back(const std::string& run, const Plan& plan, const std::vector<std::size_t>& order,
                   const std::unordered_map<std::string, Preview>& seen) {
  for (const std::size_t i : order) {
    const std::string& step = plan.steps[i].name;
    const auto found = seen.find(step);
    if (found == seen.end() || found->second.cannot_undo.empty()) continue;
    const Problem& problem = found->second.problems.front();
    throw Error(ErrorKind::needs_person, "cannot roll back, and has undone nothing", "step " + step,
                problem.what + ": " + problem.on + ": " + problem.why,
                (problem.hint.empty() ? "" : problem.hint + "; or ") +
                    "bring it back by hand, then `relight rollback " + run + " --done " + step + "`");
  }
}

}  // namespace

int command_plan(const Options& options, const Program& program) {
  // Neither is freed: the program ends here, and taking 1,000 steps down costs as much as printing them.
  static const auto& result =
      *new lang::Evaluated(evaluated(options.runbook, given_inputs(options), program));
  std::map<std::string, std::string> asked;
  if (options.check_secrets) asked = asked_secrets(result.plan);
  static const auto& seen = *new PlanPreview(preview(result.plan, options, options.check_secrets, asked));
  if (options.json)
    std::printf("%s\n", plan_json(result.plan, seen).dump().c_str());
  else
    std::fputs(plan_text(result.plan, seen).c_str(), stdout);
  return seen.only_held() ? exit_held : seen.refused() ? exit_refused : exit_done;
}

int command_run(const Options& options, const Program& program) {
  const lang::Evaluated result = evaluated(options.runbook, given_inputs(options), program);
  must_have(result.plan, "--approve", options.approvals);
  EngineOptions engine_options;
  engine_options.asked = asked_secrets(result.plan);
  const PlanPreview seen = preview(result.plan, options, true, engine_options.asked);
  if (seen.refused()) {
    std::fputs(options.json ? (plan_json(result.plan, seen).dump() + "\n").c_str()
                            : plan_text(result.plan, seen).c_str(),
               stdout);
    std::fputs(seen.only_held()
                   ? "relight: nothing was started: another run owns a target\n"
                   : "relight: nothing was started: mend what the plan calls a PROBLEM, then run "
                     "again\n",
               stderr);
    return seen.only_held() ? exit_held : exit_refused;
  }
  if (at_terminal() && !options.yes && !options.json) {
    std::fputs(plan_text(result.plan, seen).c_str(), stdout);
    if (!ask_yes("carry it out?")) return exit_refused;
  }
  engine_options.preview_first = undecided(seen);
  const RunFolder folder =
      nothing_started("runs are kept in the state folder; --state, or RELIGHT_STATE, names another",
                      [&] { return RunFolder::create(options.state, frozen_of(result.plan, result)); });
  if (!options.json)
    std::printf("run %s of %s, %s\n", folder.id().c_str(), result.plan.runbook.c_str(),
                counted(result.plan.steps.size(), "step").c_str());
  try {
    return go(folder, result.plan, options, program, std::move(engine_options),
              [](Engine& engine) { return engine.run(); });
  } catch (const Held&) {
    sys::remove_tree(folder.path());  // nothing has begun: it is no run that anything could be asked of
    throw;
  }
}

int command_resume(const Options& options, const Program& program) {
  RunFolder folder = RunFolder::find(options.state, options.run);
  const RunRecord past = record_of(folder);
  if (has_ended(past.state)) {
    finish_ending(folder, past.state);
    throw Error(ErrorKind::refused, "cannot resume", folder.id(),
                std::string("the run is ") + name_of(past.state),
                past.state == RunRecord::State::done
                    ? "`relight rollback` takes it back; `relight run` starts another"
                    : "`relight run` starts another");
  }
  Plan plan = folder.plan(program.types);
  EngineOptions engine_options;
  std::optional<Frozen> amended;
  if (!options.amend.empty()) {
    lang::Given given;
    given.file = std::make_shared<const Json>(folder.inputs());
    const lang::Evaluated mended = evaluated(options.amend, given, program);
    const Amendment amendment = compare(plan, mended.plan, past);
    std::fputs(amendment.text.c_str(), stdout);
    if (at_terminal() && !options.yes && !ask_yes("go on with the mended runbook?")) return exit_refused;
    plan = mended.plan;
    amended = frozen_of(plan, mended);
    engine_options.amended = std::make_shared<const Json>(Json{{"kind", "amended"},
                                                               {"plan", plan.digest},
                                                               {"kept", amendment.kept},
                                                               {"changes", amendment.text},
                                                               {"file", plan.file}});
  }
  must_have(plan, "--skip", options.skip);
  must_have(plan, "--again", options.again);
  must_have(plan, "--done", options.done);
  must_have(plan, "--approve", options.approvals);
  engine_options.again = {options.again.begin(), options.again.end()};
  engine_options.done = {options.done.begin(), options.done.end()};
  for (std::size_t i = 0; i < options.skip.size(); ++i)
    engine_options.skip[options.skip[i]] = options.because[i];
  engine_options.asked = asked_secrets(plan);
  // Time has passed: what has not begun is looked at again before its first effect.
  for (const PlannedStep& step : plan.steps)
    if (past.step(step.name).attempts == 0) engine_options.preview_first.insert(step.name);
  if (!options.json) std::printf("run %s of %s goes on\n", folder.id().c_str(), plan.runbook.c_str());
  return go(
      folder, plan, options, program, std::move(engine_options), [](Engine& engine) { return engine.run(); },
      amended ? &*amended : nullptr);
}

int command_rollback(const Options& options, const Program& program) {
  RunFolder folder = RunFolder::find(options.state, options.run);
  const RunRecord past = record_of(folder);
  const Plan plan = folder.plan(program.types);
  if (!options.to.empty()) must_have(plan, "--to", {options.to});
  if (past.state == RunRecord::State::rolled_back || past.state == RunRecord::State::abandoned) {
    finish_ending(folder, past.state);
    throw Error(ErrorKind::refused, "cannot roll back", folder.id(),
                std::string("the run is ") + name_of(past.state));
  }
  need_way_back(plan, past, options.to);
  must_have(plan, "--done", options.done);
  std::vector<std::size_t> order = rollback_order(plan, past, options.to);
  for (const std::size_t i : order)
    if (past.step(plan.steps[i].name).discarded)
      throw Error(
          ErrorKind::refused, "cannot roll back", folder.id(),
          "what the step " + plan.steps[i].name + " kept of the time before was freed by `keep --drop`",
          "bring the old state back by a run of its own");
  EngineOptions engine_options;
  engine_options.asked = asked_secrets(plan);
  engine_options.done.insert(options.done.begin(), options.done.end());
  std::erase_if(order, [&](std::size_t i) { return engine_options.done.count(plan.steps[i].name) > 0; });
  const auto seen = preview_undo(plan, past, order, engine_options.asked);
  if (!options.json) std::fputs(undo_text(plan, past, order, seen).c_str(), stdout);
  need_way_back(folder.id(), plan, order, seen);
  if (!options.yes) {
    if (!at_terminal())
      throw Error(ErrorKind::refused, "cannot ask", folder.id(), "nobody sits at the terminal",
                  "say --yes to roll back");
    if (!ask_yes("go on?")) return exit_refused;
  }
  return go(folder, plan, options, program, std::move(engine_options),
            [&](Engine& engine) { return engine.rollback(options.to); });
}

int command_abandon(const Options& options, const Program&) {
  const auto found = [&]() -> std::optional<RunFolder> {
    try {
      return RunFolder::find(options.state, options.run);
    } catch (const Error&) {
      if (!abandon_lost_run(options.run)) throw;
      return std::nullopt;
    }
  }();
  if (!found) {
    std::printf("run %s is abandoned: its folder is gone, and its targets are free now\n",
                options.run.c_str());
    return exit_done;
  }
  const RunFolder& folder = *found;
  const Abandoned abandoned = abandon_run(folder);
  std::printf("run %s is abandoned:\n  its targets are free, what it changed stays as it is\n",
              folder.id().c_str());
  if (!abandoned.begun.empty())
    std::printf("  %s\n  %s\n",
                wrapped("begun and not taken back: " + sys::join(abandoned.begun, ", ") +
                            "; what was made beside the targets stays, too: remove the hidden folders and "
                            "databases whose names hold",
                        2)
                    .c_str(),
                folder.id().c_str());
  if (!abandoned.damaged_journal.empty())
    std::printf("its damaged journal is kept as\n  %s\n", abandoned.damaged_journal.c_str());
  return exit_done;
}

}  // namespace relight
