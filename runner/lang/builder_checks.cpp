// What can be told only when every step is known.
#include <algorithm>

#include "runner/lang/builder.h"
#include "runner/lang/common.h"
#include "runner/lang/state.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

const std::vector<Field>& head_fields() {
  static const std::vector<Field> fields = {
      {"budget",
       FieldType::table,
       false,
       "",
       "how long a recovery may take, and what it may lose",
       "{ rto = \"30m\", rpo = \"5m\" }",
       {}},
      {"on_failure",
       FieldType::choice,
       false,
       "\"stop\"",
       "what a failed step does to the run",
       "\"rollback\"",
       {"stop", "rollback", "continue"}},
      {"doc",
       FieldType::text,
       false,
       "",
       "what the runbook is for",
       "\"rebuilds the host from its backup\"",
       {}},
  };
  return fields;
}

const std::vector<Field>& budget_fields() {
  static const std::vector<Field> fields = {
      {"rto", FieldType::duration, false, "", "the longest time to recover", "rto = \"30m\"", {}},
      {"rpo", FieldType::duration, false, "", "the longest time whose data may be lost", "rpo = \"5m\"", {}},
  };
  return fields;
}

void each_output(const Json& value,
                 const std::function<void(const std::string&, const std::string&)>& visit) {
  if (is_output(value))
    return visit(value["$output"][0].get<std::string>(), value["$output"][1].get<std::string>());
  if (value.is_structured() && !is_secret(value) && !is_function(value))
    for (const Json& part : value) each_output(part, visit);
}

// May the step end without outputs of its own?
bool may_lack_outputs(const PlannedStep& step) {
  return step.when && *step.when != true;
}

}  // namespace

void Builder::head(lua_State* lua, const std::string& name, int table, const Place& at) {
  const auto told = [&](const std::string& field, const std::string& what, const std::string& hint) {
    faults_.push_back(
        {place_of_field(at, field.substr(0, field.find('.'))), "", "runbook: `" + field + "` " + what, hint});
  };
  if (head_at_) {
    faults_.push_back(
        {at, "", "runbook is called twice; first at " + text_of(*head_at_), "keep one of them"});
    return;
  }
  head_at_ = at;
  plan_.runbook = name;
  if (name.empty() || name.size() > 64 ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
          std::string::npos)
    faults_.push_back({at, "", "the runbook's name \"" + name + "\" may hold letters, digits, - _ and . only",
                       "write a short name, as \"aihummer-rebuild\""});
  Found found;
  Json fields = to_json(lua, table, "runbook", FieldType::table, found);
  for (const Fault& fault : found.faults)
    faults_.push_back({at, "", "`" + fault.field + "` " + fault.what, fault.hint});
  if (!found.faults.empty()) return;
  std::vector<Fault> faults = check_values(head_fields(), fields);
  if (fields.is_object() && fields.contains("budget") && fields["budget"].is_object())
    for (Fault fault : check_values(budget_fields(), fields["budget"])) {
      fault.field = "budget." + fault.field;
      faults.push_back(std::move(fault));
    }
  for (const Fault& fault : faults)
    told(fault.field, fault.what == "is no field of this step" ? "is not there" : fault.what, fault.hint);
  if (!faults.empty() || !outputs_used(fields).empty() || !secrets_used(fields).empty()) return;
  if (fields.contains("on_failure"))
    plan_.on_failure = on_failure_named(fields["on_failure"].get<std::string>());
  plan_.doc = fields.value("doc", "");
  const Json budget = fields.value("budget", Json::object());
  if (budget.contains("rto")) plan_.budget.rto = sys::parse_duration(budget["rto"].get<std::string>());
  if (budget.contains("rpo")) plan_.budget.rpo = sys::parse_duration(budget["rpo"].get<std::string>());
}

void Builder::check_no_return(const PlannedStep& step) {
  if (step.no_return.empty()) return;
  if (step.step_type->is_probe || step.type == approve_type)
    step_fault("no_return", "stands at a step that changes nothing", "give it to the step that changes it");
  else if (!asked_)
    step_fault("no_return", "is a point that nobody is asked about",
               "write approve \"" + step.name + "-approved\" { prompt = \"...\" } above it");
}

void Builder::check_wanted() {
  if (wanted_.empty()) return;
  std::vector<std::string> names;
  for (const auto& [name, met] : names_) names.push_back(name);
  std::sort(names.begin(), names.end());  // so that the same one of two near names is told each time
  for (const Wanted& wanted : wanted_) {
    const auto known = names_.find(wanted.name);
    if (wanted.name == wanted.step) {
      faults_.push_back({wanted.at, wanted.step, "waits for itself", "take it out of `after`"});
    } else if (known == names_.end()) {
      const std::string near = near_name(wanted.name, names);
      faults_.push_back({wanted.at, wanted.step,
                         "`after` names the step \"" + wanted.name + "\", which is not there",
                         near.empty() ? "" : "did you mean \"" + near + "\"?"});
    } else if (index_.count(wanted.name) && index_.count(wanted.step) &&
               index_.at(wanted.name) > index_.at(wanted.step)) {
      faults_.push_back(
          {wanted.at, wanted.step,
           "`after` names the step \"" + wanted.name + "\", which stands below it, at " +
               text_of(known->second.second),
           "a step waits for steps above it only, so that no two wait for each other: move one of them"});
    }
  }
}

void Builder::check_defaults() {
  for (const PlannedStep& step : plan_.steps)
    each_output(*step.params, [&](const std::string& of, const std::string& output) {
      const auto known = index_.find(of);
      if (known == index_.end()) return;
      const PlannedStep& from = plan_.steps[known->second];
      if (!may_lack_outputs(from) || (from.defaults && from.defaults->contains(output))) return;
      faults_.push_back(
          {{step.file, step.line},
           step.name,
           "uses " + of + "." + output + ", but the step \"" + of + "\" may be skipped (its `when`)",
           "give that step defaults = { " + output + " = ... }"});
    });
}

std::set<std::string> waited_for(const Plan& plan, const std::string& step) {
  std::map<std::string, const PlannedStep*> by_name;
  for (const PlannedStep& planned : plan.steps) by_name[planned.name] = &planned;
  std::set<std::string> found;
  std::vector<std::string> open = {step};
  while (!open.empty()) {
    const auto planned = by_name.find(open.back());
    open.pop_back();
    if (planned == by_name.end()) continue;
    for (const std::string& before : planned->second->after)
      if (found.insert(before).second) open.push_back(before);
  }
  return found;
}

void Builder::check_when_uses() {
  for (const PlannedStep& step : plan_.steps) {
    if (!step.when || !is_function(*step.when)) continue;
    const Json& function = (*step.when)["$function"];
    const auto scan = scans_.find(function["file"].get<std::string>());
    if (scan == scans_.end()) continue;
    for (const Scan::WhenUse& use : scan->second.when_uses)
      if (use.function_line == function["line"].get<int>()) check_when_use(step, use);
  }
}

void Builder::check_when_use(const PlannedStep& step, const Scan::WhenUse& use) {
  const Place at{(*step.when)["$function"]["file"].get<std::string>(), use.line};
  const auto fault = [&](std::string what, std::string hint) {
    faults_.push_back({at, step.name, std::move(what), std::move(hint)});
  };
  const std::set<std::string> before = waited_for(plan_, step.name);
  if (index_.count(use.step) == 0) {
    if (names_.count(use.step)) return;  // faulty itself, and told
    const std::string near = near_name(use.step, {before.begin(), before.end()});
    return fault("`when` asks the step \"" + use.step + "\", which is not there",
                 near.empty() ? "write the name of a step above" : "did you mean o." + near + "?");
  }
  if (before.count(use.step) == 0)
    return fault("`when` asks the step \"" + use.step + "\", but does not wait for it", "add it to `after`");
  if (use.output.empty()) return;
  const StepHandle& handle = *names_.at(use.step).first;
  if (std::find(handle.outputs.begin(), handle.outputs.end(), use.output) == handle.outputs.end()) {
    const std::string near = near_name(use.output, handle.outputs);
    return fault("the step \"" + use.step + "\" has no output `" + use.output + "`",
                 !near.empty()            ? "did you mean `" + near + "`?"
                 : handle.outputs.empty() ? "its type declares no outputs"
                                          : "its outputs are " + sys::join(handle.outputs, ", "));
  }
  const PlannedStep& from = plan_.steps[index_.at(use.step)];
  if (may_lack_outputs(from) && !(from.defaults && from.defaults->contains(use.output)))
    fault("`when` asks " + use.step + "." + use.output + ", but the step \"" + use.step +
              "\" may be skipped (its `when`)",
          "give that step defaults = { " + use.output + " = ... }");
}

Plan Builder::finish(const std::string& file) {
  if (!head_at_ && faults_.empty())
    faults_.push_back({{file, 1}, "", "the runbook has no name", "begin it with runbook \"NAME\" { }"});
  check_wanted();
  check_defaults();
  check_when_uses();
  if (!faults_.empty()) throw RunbookError(std::move(faults_));
  if (plan_.steps.empty()) warnings_.push_back(file + ": the runbook has no step: it does nothing");
  plan_.file = file;
  return std::move(plan_);
}

void Builder::set_outputs(const std::map<std::string, Json>& outputs) {
  for (StepHandle& handle : handles_) {
    const auto known = outputs.find(handle.name);
    handle.known = known == outputs.end() ? nullptr : &known->second;
  }
}

}  // namespace relight::lang
