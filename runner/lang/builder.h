// The steps of a runbook as they are met, one by one, and the plan that they become.
#pragma once
#include <deque>
#include <lua.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "runner/lang/fault.h"
#include "runner/lang/scan.h"
#include "runner/lang/values.h"
#include "runner/plan/plan.h"

namespace relight::lang {

class Builder {
 public:
  Builder(const Sources& sources, const Scans& scans) : sources_(sources), scans_(scans) {}

  // `runbook "NAME" { ... }`, its table at `table`.
  void head(lua_State* lua, const std::string& name, int table, const Place& at);

  // One step, its table at `table`. Faults are kept, so that more than one can be told; the handle is good in
  // any case. `type`: null where there is none of that name, which was told.
  const StepHandle* add(lua_State* lua, const StepType* type, const std::string& name, int table,
                        const Place& at);

  // The plan without inputs and digest; throws RunbookError with all that was found.
  Plan finish(const std::string& file);

  void fault(RunbookFault fault) { faults_.push_back(std::move(fault)); }
  const std::vector<RunbookFault>& faults() const { return faults_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  Place place_of_field(const Place& statement, const std::string& field) const;

  // For a call of one of the steps' functions: what the finished steps gave.
  void set_outputs(const std::map<std::string, Json>& outputs);

 private:
  struct Wanted {  // a name in an `after` that was not there yet
    std::string step, name;
    Place at;
  };

  const StepHandle* find(const std::string& name) const;
  void take_fields(lua_State* lua, const StepType& type, int table, PlannedStep& step, Json& params);
  void check_params(const StepType& type, const Json& params);
  void check_common(const PlannedStep& step, const StepHandle& handle);
  void check_no_return(const PlannedStep& step);
  void take_after(lua_State* lua, int value);
  void take_when(lua_State* lua, int value, PlannedStep& step);
  Json take_uses(lua_State* lua, int value);
  Json function_at(lua_State* lua, int value, const std::string& field);
  void use(const std::string& step, const std::string& output);
  void order(PlannedStep& step);
  void keep_function(lua_State* lua, int value, const std::string& field);
  bool name_is_good(const std::string& name);
  void step_fault(const std::string& field, std::string what, std::string hint);
  void check_wanted();
  void check_defaults();
  void check_when_uses();
  void check_when_use(const PlannedStep& step, const Scan::WhenUse& use);

  const Sources& sources_;
  const Scans& scans_;
  Plan plan_;
  std::optional<Place> head_at_;
  std::deque<StepHandle> handles_;
  std::unordered_map<std::string, std::size_t> index_;  // of the steps in the plan
  std::unordered_map<std::string, std::pair<const StepHandle*, Place>>
      names_;                    // of every step met, the faulty ones, too
  std::set<std::size_t> sinks_;  // the steps that no other waits for yet
  std::optional<std::size_t> last_approve_;
  bool asked_ = false;  // an approve stands above that no point of no return has used up
  std::vector<Wanted> wanted_;
  std::vector<RunbookFault> faults_;
  std::vector<std::string> warnings_;

  // Of the step at hand.
  std::string step_name_;
  Place step_at_;
  std::set<std::size_t> after_;  // as given
  bool after_given_ = false;
  std::set<std::string> told_fields_;  // whose fault is told, or that a misspelt name was meant for
  std::set<std::string> uses_;         // steps whose outputs it needs
  std::map<std::string, std::set<std::string>> captured_;  // of a script: step -> outputs
};

// The names of the steps that `step` waits for, directly or not.
std::set<std::string> waited_for(const Plan& plan, const std::string& step);

// The function of a step's field, kept for a later call; false: there is none. Pushes it.
bool push_function(lua_State* lua, const std::string& step, const std::string& field);

}  // namespace relight::lang
