// peek: a paused copy by a runbook's own recovery, a few rows out of it, and the copy away again.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>

#include "runner/cli/commands.h"
#include "runner/cli/given.h"
#include "runner/cli/plan_view.h"
#include "runner/cli/print.h"
#include "runner/cli/rows_out.h"
#include "runner/cli/summary.h"
#include "runner/cli/terminal.h"
#include "runner/engine/engine.h"
#include "runner/engine/host_world.h"
#include "runner/engine/previews.h"
#include "runner/step/value.h"
#include "runner/sys/digest.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"

namespace relight {

namespace {

constexpr const char* copy_step = "copy";

// The step whose recovery is to be looked into.
const PlannedStep& step_to_peek(const Plan& plan, const std::string& named) {
  std::vector<std::string> fit;
  for (const PlannedStep& step : plan.steps)
    if (step.step_type->peek != nullptr) fit.push_back(step.name);
  if (!named.empty() && plan.find(named) == nullptr) {
    const std::string near = near_name(named, fit);
    throw Error(ErrorKind::refused, "cannot use --step", named, "the plan has no step of that name",
                near.empty() ? "`relight plan` lists the steps" : "did you mean `" + near + "`?");
  }
  const PlannedStep* const chosen = plan.find(!named.empty() ? named : fit.size() == 1 ? fit[0] : "");
  if (chosen != nullptr && chosen->step_type->peek != nullptr) return *chosen;
  if (chosen != nullptr)
    throw Error(ErrorKind::refused, "cannot peek into the step", named,
                "a " + chosen->type + " leaves no copy to look into",
                fit.empty() ? "" : "these do: " + sys::join(fit, ", "));
  if (fit.empty())
    throw Error(ErrorKind::refused, "cannot peek", plan.file, "no step of this runbook can leave a copy",
                "name a runbook that recovers a cluster from its base backup and WAL");
  throw Error(ErrorKind::refused, "cannot tell which step to peek into", plan.file,
              "several leave a copy: " + sys::join(fit, ", "), "name one of them with --step");
}

// Where the copy lies: named, or new below the state folder, in a folder that the step's user owns.
std::string scratch_for(const Options& options, const std::string& as) {
  if (!options.into.empty()) return sys::absolute(options.into);
  const sys::User user = as.empty() ? sys::current_user() : sys::user_named(as);
  const std::string folder = options.state + "/peek/" + user.name;
  sys::make_folders(folder);
  if (geteuid() == 0 && chown(folder.c_str(), user.uid, user.gid) != 0)
    throw system_error(errno, "cannot give the folder to " + user.name, folder);
  return folder + "/" + sys::random_hex(4);
}

// A plan of one step: as the runbook's own, but for where it lies, and that it is held there.
Plan plan_of_copy(const Plan& plan, const PlannedStep& step, const Options& options) {
  Json params = step.step_type->peek(*step.params, scratch_for(options, step.as), options.to);
  if (const std::set<std::string> used = outputs_used(params); !used.empty())
    throw Error(ErrorKind::refused, "cannot peek into the step", step.name,
                "it needs what the step " + *used.begin() + " will tell",
                "write a runbook of its own for it, with that value as an input");
  if (!options.database.empty()) {
    const auto& fields = step.step_type->fields;
    if (std::none_of(fields.begin(), fields.end(), [](const Field& one) { return one.name == "database"; }))
      throw Error(ErrorKind::refused, "cannot use --database", options.database,
                  "a " + step.type + " has no databases to choose from", "leave it out");
    params["database"] = options.database;
  }
  for (const Fault& fault : check_values(step.step_type->fields, params))
    throw Error(ErrorKind::refused, "cannot peek", fault.field, fault.what, fault.hint);
  Plan copy;
  copy.runbook = "peek-" + plan.runbook;
  copy.doc = "A look into " + plan.runbook + ", step " + step.name;
  copy.file = "peek.lua";
  copy.on_failure = OnFailure::rollback;
  copy.inputs = plan.inputs;
  PlannedStep one;
  one.name = copy_step;
  one.type = step.type;
  one.step_type = step.step_type;
  one.file = step.file;
  one.line = step.line;
  one.params = std::make_shared<const Json>(with_defaults(step.step_type->fields, params));
  one.as = step.as;
  one.timeout = step.timeout;
  copy.steps.push_back(std::move(one));
  copy.digest = digest_of(copy);
  return copy;
}

// SIGINT and SIGTERM, which stay blocked once an engine has run.
sigset_t told_to_end() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM}) sigaddset(&set, number);
  return set;
}
bool end_is_wanted() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}
// What was told is heard; the way back takes its own.
void hear_it() {
  const sigset_t set = told_to_end();
  const timespec at_once{0, 0};
  while (sigtimedwait(&set, nullptr, &at_once) > 0) {
  }
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

class Peek {
 public:
  Peek(const Plan& plan, RunFolder folder, const Program& program)
      : plan_(plan), folder_(std::move(folder)), program_(program) {}

  int bring_up(std::set<std::string> undecided, std::map<std::string, std::string> asked) {
    asked_ = std::move(asked);
    EngineOptions options;
    options.preview_first = std::move(undecided);
    const int exit = go(std::move(options), [](Engine& engine) { return engine.run(); });
    if (exit != exit_interrupted) return exit;
    hear_it();
    return take_down();
  }

  // 3: taken down, as it should be.
  int take_down() {
    const int exit = go({}, [](Engine& engine) { return engine.rollback(""); });
    if (exit == exit_done || exit == exit_rolled_back) return exit_rolled_back;
    std::fprintf(stderr,
                 "relight: the copy is still there\n  hint: `relight rollback %s --yes` takes it away\n",
                 folder_.id().c_str());
    return exit;
  }

  std::string output(const std::string& name) const {
    const Json& outputs = *record_.step(copy_step).outputs;
    return outputs.contains(name) && outputs[name].is_string() ? outputs[name].get<std::string>() : "";
  }
  const RunFolder& folder() const { return folder_; }
  std::string summary(int exit) const { return summary_text(folder_, plan_, record_, exit); }

 private:
  int go(EngineOptions options, const std::function<int(Engine&)>& action) {
    options.asked = asked_;
    HostWorld world(folder_, program_.types, program_.hooks);
    Terminal terminal(plan_, folder_, false, stderr);
    Engine engine(world, plan_, terminal, std::move(options));
    const int exit = action(engine);
    record_ = engine.record();
    return exit;
  }

  const Plan& plan_;
  const RunFolder folder_;
  const Program& program_;
  std::map<std::string, std::string> asked_;
  RunRecord record_;
};

void check_question(const Options& options) {
  const auto refuse = [](const char* option, const char* why, const char* hint) {
    throw Error(ErrorKind::refused, "cannot peek", option, why, hint);
  };
  if (!options.table.empty() && !options.sql.empty())
    refuse("--sql", "--table is given, too", "write the whole query with --sql alone");
  if (!options.where.empty() && options.table.empty())
    refuse("--where", "it says which rows of a table, and no table is named", "add --table SCHEMA.TABLE");
  if (!options.out.empty() && options.table.empty() && options.sql.empty())
    refuse("--out", "nothing is asked for that could be written there",
           "add --table SCHEMA.TABLE, or --sql QUERY");
}

}  // namespace

int command_peek(const Options& options, const Program& program) {
  check_question(options);
  const lang::Evaluated result = evaluated(options.runbook, given_inputs(options), program);
  const PlannedStep& step = step_to_peek(result.plan, options.step);
  const Plan plan = nothing_started("name a folder for the copy with --into",
                                    [&] { return plan_of_copy(result.plan, step, options); });
  const bool asks = !options.table.empty() || !options.sql.empty();
  std::optional<RowsOut> rows;  // before anything is started: it must be possible to write them
  if (asks) nothing_started("", [&] { rows.emplace(options.out); });
  PreviewOptions how;
  how.full = options.full;
  how.check_secrets = true;
  const PlanPreview seen = nothing_started("", [&] { return preview_plan(plan, how); });
  if (seen.refused()) {
    std::fputs(plan_text(plan, seen).c_str(), stderr);
    std::fputs("relight: nothing was started: mend what the plan calls a PROBLEM, then peek again\n", stderr);
    return seen.only_held() ? exit_held : exit_refused;
  }
  Frozen frozen;
  frozen.plan = &plan;
  frozen.inputs = result.given;
  frozen.sources["peek.lua"] = "-- " + plan.doc + ": made by relight peek\n";
  Peek peek(plan,
            nothing_started("runs are kept in the state folder; --state, or RELIGHT_STATE, names another",
                            [&] { return RunFolder::create(options.state, frozen); }),
            program);
  std::fprintf(stderr, "run %s of %s\n", peek.folder().id().c_str(), plan.runbook.c_str());
  const int exit = peek.bring_up(undecided(seen), {});
  if (exit != exit_done) {
    std::fputs(peek.summary(exit).c_str(), stderr);
    return exit;
  }
  const std::string moment =
      peek.output("last_commit").empty() ? "" : ", last commit " + peek.output("last_commit");
  if (!asks) {
    std::printf("%s\n", peek.output("url").c_str());
    std::fprintf(stderr, "%s\n",
                 wrapped("the copy is up, read-only, at " + peek.output("lsn") + moment +
                             (step.as.empty() ? "" : "; ask it as root or as " + step.as),
                         2)
                     .c_str());
    std::fprintf(stderr, "  relight rollback %s     takes it away\n", peek.folder().id().c_str());
    return exit_done;
  }
  std::optional<Error> failed;
  std::uint64_t count = 0;
  try {
    count = rows->pull(peek.output("url"), {options.table, options.where, options.sql}, end_is_wanted);
  } catch (const Error& error) {
    failed = error;
  }
  hear_it();
  const int away = peek.take_down();
  if (failed) print_error(*failed);
  if (failed || away != exit_rolled_back) return away;
  std::fprintf(stderr, "%s\n",
               wrapped(counted(count, "row") + (options.out.empty() ? "" : " in " + options.out) +
                           ", as of " + peek.output("lsn") + moment,
                       2)
                   .c_str());
  return exit_done;
}

}  // namespace relight
