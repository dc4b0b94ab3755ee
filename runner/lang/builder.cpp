#include "runner/lang/builder.h"

#include <algorithm>

#include "runner/lang/captures.h"
#include "runner/lang/common.h"
#include "runner/lang/state.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

constexpr std::size_t steps_at_most = 20'000;
constexpr std::size_t name_at_most = 64;
const char* const functions_key = "relight.functions";

// Step and runbook names stand in file names, in logs and on command lines.
std::string wrong_with_name(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.size() > name_at_most) return "is longer than 64 letters";
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (!std::all_of(name.begin(), name.end(), good)) return "may hold letters, digits, - _ and . only";
  if (name[0] == '-' || name[0] == '.') return std::string("begins with ") + name[0];
  return "";
}

// The fields of a step's table in the order of their names, so that faults come in one order.
std::vector<std::string> names_of_fields(lua_State* lua, int table, bool& list) {
  std::vector<std::string> names;
  for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1))
    if (lua_type(lua, -2) == LUA_TSTRING)
      names.emplace_back(lua_tostring(lua, -2));
    else
      list = true;
  std::sort(names.begin(), names.end());
  return names;
}

std::string in_quotes(const std::string& name) {
  return "\"" + name + "\"";
}

}  // namespace

void Builder::step_fault(const std::string& field, std::string what, std::string hint) {
  const std::string top = top_of(field);
  told_fields_.insert(top);
  faults_.push_back({place_of_field(step_at_, top), step_name_,
                     field.empty() ? std::move(what) : "`" + field + "` " + std::move(what),
                     std::move(hint)});
}

Place Builder::place_of_field(const Place& statement, const std::string& field) const {
  const auto scan = scans_.find(statement.file);
  return scan == scans_.end() ? statement
                              : Place{statement.file, scan->second.line_of(statement.line, field)};
}

const StepHandle* Builder::find(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second.first;
}

bool Builder::name_is_good(const std::string& name) {
  if (const std::string wrong = wrong_with_name(name); !wrong.empty()) {
    faults_.push_back({step_at_, "", "the name " + in_quotes(name) + " of a step " + wrong,
                       "write a short name, as \"database\""});
    return false;
  }
  if (const auto other = names_.find(name); other != names_.end()) {
    faults_.push_back({step_at_, name, "the name is taken by the step at " + text_of(other->second.second),
                       "give one of them another name"});
    return false;
  }
  return true;
}

const StepHandle* Builder::add(lua_State* lua, const StepType* type, const std::string& name, int table,
                               const Place& at) {
  if (handles_.size() >= steps_at_most)
    throw Refusal("a runbook has at most 20000 steps", "is there a loop that never ends?");
  step_name_ = name;
  step_at_ = at;
  uses_.clear();
  captured_.clear();
  told_fields_.clear();
  after_.clear();
  after_given_ = false;
  const bool good_name = name_is_good(name);
  handles_.push_back({name, {}, type == nullptr, nullptr});
  StepHandle& handle = handles_.back();
  if (good_name) names_[name] = {&handle, at};
  if (type == nullptr) return &handle;

  PlannedStep step;
  step.name = name;
  step.type = type->name;
  step.step_type = type;
  step.file = at.file;
  step.line = at.line;
  for (const Output& output : type->outputs) handle.outputs.push_back(output.name);
  Json params = Json::object();
  take_fields(lua, *type, table, step, params);
  check_params(*type, params);
  if (type->name == script_type && params.contains("outputs") && params["outputs"].is_array())
    for (const Json& output : params["outputs"])
      if (output.is_string()) handle.outputs.push_back(output.get<std::string>());
  check_common(step, handle);
  step.params = std::make_shared<const Json>(std::move(params));
  if (!good_name) return &handle;
  order(step);
  index_[name] = plan_.steps.size();
  if (type->name == approve_type) last_approve_ = plan_.steps.size();
  asked_ = type->name == approve_type || (asked_ && step.no_return.empty());
  plan_.steps.push_back(std::move(step));
  return &handle;
}

void Builder::check_params(const StepType& type, const Json& params) {
  const std::set<std::string> told = told_fields_;  // by take_fields: what it refused is not in `params`
  for (const Fault& fault : check_values(type.fields, params)) {
    if (told.count(top_of(fault.field))) continue;
    const Field* field = fault.what == "is missing" ? find_field(type.fields, fault.field) : nullptr;
    const bool example = field && !field->example.empty();
    step_fault(fault.field, fault.what,
               example ? "write " + field->name + " = " + field->example : fault.hint);
  }
}

void Builder::check_common(const PlannedStep& step, const StepHandle& handle) {
  const bool goes_on = step.on_failure.value_or(plan_.on_failure) == OnFailure::go_on;
  if (goes_on && step.waive.empty())
    warnings_.push_back(
        text_of(step_at_) + ": step " + in_quotes(step_name_) +
        ": on_failure = \"continue\" without waive = \"reason\": where it fails, the run ends with 7");
  if (!goes_on && !step.waive.empty())
    step_fault("waive", "says why a failure does no harm, but the step does not go on after one",
               "write on_failure = \"continue\", too");
  if (step.watch.count() > 0 && !uses_.empty())
    step_fault("watch", "looks from before the first effect, but the step uses outputs of " + *uses_.begin(),
               "give a probe without outputs the `watch`");
  check_no_return(step);
  if (!step.defaults) return;
  for (auto it = step.defaults->begin(); it != step.defaults->end(); ++it) {
    if (std::find(handle.outputs.begin(), handle.outputs.end(), it.key()) != handle.outputs.end()) continue;
    const std::string near = near_name(it.key(), handle.outputs);
    step_fault("defaults." + it.key(), "is no output of the step",
               !near.empty()            ? "did you mean `" + near + "`?"
               : handle.outputs.empty() ? "it has none: leave `defaults` out"
                                        : "its outputs are " + sys::join(handle.outputs, ", "));
  }
}

void Builder::take_fields(lua_State* lua, const StepType& type, int table, PlannedStep& step, Json& params) {
  bool list = false;
  for (const std::string& name : names_of_fields(lua, table, list)) {
    lua_getfield(lua, table, name.c_str());
    const int value = lua_gettop(lua);
    const Field* own = find_field(type.fields, name);
    const Field* common = find_field(common_fields(), name);
    if (common == nullptr) common = find_field(probe_fields(type), name);
    if (name == "after") {
      take_after(lua, value);
    } else if (name == "when") {
      take_when(lua, value, step);
    } else if (type.name == script_type && name == "uses") {
      params[name] = take_uses(lua, value);
    } else if (own && own->type == FieldType::function && lua_type(lua, value) == LUA_TFUNCTION) {
      params[name] = function_at(lua, value, name);
    } else if (own || common) {
      Found found;
      Json json = to_json(lua, value, name, (own ? own : common)->type, found);
      for (const Fault& fault : found.faults) step_fault(fault.field, fault.what, fault.hint);
      if (found.faults.empty()) {
        uses_.merge(found.steps);
        if (own)
          params[name] = std::move(json);
        else
          for (const Fault& fault : take_common(*common, json, step))
            step_fault(fault.field, fault.what, fault.hint);
      }
    } else if (name == "on") {
      step_fault(name, "names a host, and hosts are not there yet: every step runs on this one",
                 "leave it out");
    } else {
      std::vector<std::string> names;
      for (const Field& field : type.fields) names.push_back(field.name);
      const std::string takes = sys::join(names, ", ");
      for (const Field& field : common_fields()) names.push_back(field.name);
      for (const Field& field : probe_fields(type)) names.push_back(field.name);
      const std::string near = near_name(name, names);
      told_fields_.insert(near);
      step_fault(name, "is no field of " + type.name,
                 !near.empty() ? "did you mean `" + near + "`?"
                               : "it takes " + takes + (takes.empty() ? "" : ", ") +
                                     "and what every step takes: `relight steps " + type.name + "`");
    }
    lua_pop(lua, 1);
  }
  if (list) step_fault("", "a value stands without its field's name", "write FIELD = VALUE");
  if (!captured_.empty()) {
    Json& uses = params["uses"];
    for (const auto& [name, outputs] : captured_)
      for (const std::string& output : outputs) uses[name][output] = {{"$output", {name, output}}};
  }
}

void Builder::take_after(lua_State* lua, int value) {
  after_given_ = true;
  if (lua_type(lua, value) != LUA_TTABLE) {
    const StepHandle* handle = handle_at(lua, value);
    const std::string name = handle ? "\"" + handle->name + "\""
                             : lua_type(lua, value) == LUA_TSTRING
                                 ? "\"" + std::string(lua_tostring(lua, value)) + "\""
                                 : "\"NAME\"";
    return step_fault("after", "must be a list of steps", "write after = { " + name + " }");
  }
  const Place at = place_of_field(step_at_, "after");
  lua_Integer count = 0;
  for (lua_pushnil(lua); lua_next(lua, value); lua_pop(lua, 1)) ++count;
  for (lua_Integer place = 1; place <= count; ++place, lua_pop(lua, 1)) {
    lua_rawgeti(lua, value, place);
    if (const StepHandle* handle = handle_at(lua, -1)) {
      if (const auto known = index_.find(handle->name); known != index_.end()) after_.insert(known->second);
    } else if (late_at(lua, -1)) {
      step_fault("after", "holds a value of a step, not a step", "write the handle, or the step's name");
    } else if (lua_type(lua, -1) == LUA_TSTRING) {
      const std::string name = lua_tostring(lua, -1);
      if (const auto known = index_.find(name); known != index_.end())
        after_.insert(known->second);
      else
        wanted_.push_back({step_name_, name, at});
    } else if (lua_isnil(lua, -1)) {
      step_fault("after", "has nil at place " + std::to_string(place),
                 "a step that an `if` left out is nil: build the list with the same `if`");
    } else {
      step_fault("after", std::string("holds a ") + luaL_typename(lua, -1),
                 "write names or handles of steps");
    }
  }
}

void Builder::take_when(lua_State* lua, int value, PlannedStep& step) {
  if (lua_type(lua, value) == LUA_TBOOLEAN) {
    step.when = std::make_shared<const Json>(lua_toboolean(lua, value) != 0);
  } else if (lua_type(lua, value) == LUA_TFUNCTION) {
    step.when = std::make_shared<const Json>(function_at(lua, value, "when"));
  } else if (late_at(lua, value)) {
    const Json& late = *late_at(lua, value);
    step_fault("when", "is the value " + shown(late) + ", which is not known yet",
               "write a function: when = function(o) return o." +
                   shown(late).substr(1, shown(late).size() - 2) + " end");
  } else {
    step_fault("when",
               std::string("must be true, false or a function, but is a ") + luaL_typename(lua, value),
               "write when = function(o) return o.STEP.OUTPUT end");
  }
}

// A list of names and handles; as JSON each of their outputs, so that the engine puts them in.
Json Builder::take_uses(lua_State* lua, int value) {
  Json uses = Json::object();
  if (lua_type(lua, value) != LUA_TTABLE) {
    step_fault("uses", "must be a list of steps", "write uses = { \"database\" }");
    return uses;
  }
  const auto count = static_cast<lua_Integer>(lua_rawlen(lua, value));
  for (lua_Integer place = 1; place <= count; ++place, lua_pop(lua, 1)) {
    lua_rawgeti(lua, value, place);
    const StepHandle* handle = handle_at(lua, -1);
    if (handle == nullptr && lua_type(lua, -1) == LUA_TSTRING) handle = find(lua_tostring(lua, -1));
    if (handle == nullptr) {
      step_fault("uses",
                 lua_type(lua, -1) == LUA_TSTRING
                     ? "names the step " + in_quotes(lua_tostring(lua, -1)) + ", which is not above"
                     : "holds what is no step",
                 "write names or handles of steps above");
      continue;
    }
    uses_.insert(handle->name);
    uses[handle->name] = Json::object();
    for (const std::string& output : handle->outputs)
      uses[handle->name][output] = {{"$output", {handle->name, output}}};
  }
  return uses;
}

Json Builder::function_at(lua_State* lua, int value, const std::string& field) {
  lua_Debug info;
  lua_pushvalue(lua, value);
  lua_getinfo(lua, ">S", &info);
  if (info.source[0] != '@') {
    step_fault(field, "is a function of Lua itself", "write function(...) ... end");
    return nullptr;
  }
  const Captured captured = captured_by(lua, value);
  for (const StepHandle* handle : captured.handles) {
    uses_.insert(handle->name);
    if (field == "when") continue;  // the engine gives it the outputs of every step before it
    for (const std::string& output : handle->outputs) use(handle->name, output);
  }
  for (const auto& [step, output] : captured.outputs) {
    uses_.insert(step);
    if (field != "when") use(step, output);
  }
  keep_function(lua, value, field);
  return Json{
      {"$function",
       {{"file", info.source + 1}, {"line", info.linedefined}, {"hash", sources_.hash_of(info.source + 1)}}}};
}

void Builder::use(const std::string& step, const std::string& output) {
  captured_[step].insert(output);
}

void Builder::keep_function(lua_State* lua, int value, const std::string& field) {
  luaL_getsubtable(lua, LUA_REGISTRYINDEX, functions_key);
  lua_pushvalue(lua, value);
  lua_setfield(lua, -2, (step_name_ + ":" + field).c_str());
  lua_pop(lua, 1);
}

bool push_function(lua_State* lua, const std::string& step, const std::string& field) {
  luaL_getsubtable(lua, LUA_REGISTRYINDEX, functions_key);
  const int type = lua_getfield(lua, -1, (step + ":" + field).c_str());
  lua_remove(lua, -2);
  if (type != LUA_TFUNCTION) lua_pop(lua, 1);
  return type == LUA_TFUNCTION;
}

// What a step waits for. Without `after` every step above: the sinks are enough, for each step above is one
// or is waited for by one.
void Builder::order(PlannedStep& step) {
  std::set<std::size_t> after = std::move(after_);
  if (!after_given_) {
    after = sinks_;
  } else {
    for (const std::string& used : uses_)
      if (const auto known = index_.find(used); known != index_.end()) after.insert(known->second);
    // A step below the approve waits for it already.
    if (last_approve_ && (after.empty() || *after.rbegin() < *last_approve_)) after.insert(*last_approve_);
  }
  for (const std::size_t before : after) {
    step.after.push_back(plan_.steps[before].name);
    sinks_.erase(before);
  }
  sinks_.insert(plan_.steps.size());
}

}  // namespace relight::lang
