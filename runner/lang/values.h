// The values of the language that plain Lua has not: handles, outputs not yet known, secrets. And the way of
// a value from Lua to the JSON of a plan (value.h) and back.
#pragma once
#include <lua.hpp>
#include <set>
#include <string>
#include <vector>

#include "runner/step/schema.h"
#include "runner/sys/json.h"

namespace relight::lang {

struct StepHandle {
  std::string name;
  std::vector<std::string> outputs;  // declared
  bool any_output = false;           // of a step whose type is not known: its outputs cannot be checked
  const Json* known = nullptr;       // while a function runs: the outputs of the finished step
};

void open_values(lua_State* lua);  // once for a state

void push_handle(lua_State* lua, const StepHandle* handle);
void push_late(lua_State* lua, const Json& value);    // {"$output"} or {"$join"}
void push_secret(lua_State* lua, const Json& value);  // {"$secret"}
void push_json(lua_State* lua, const Json& value);    // any of them, or plain data

void set_function(lua_State* lua, const char* name, lua_CFunction function);  // of the table on top

// nullptr: another kind of value stands there.
const StepHandle* handle_at(lua_State* lua, int index);
const Json* late_at(lua_State* lua, int index);
const Json* secret_at(lua_State* lua, int index);

// `/` between texts: joins paths. The __div of texts and of outputs not yet known.
int join_paths(lua_State* lua);

// What a conversion found on its way.
struct Found {
  std::set<std::string> steps;  // whose outputs stand in the value
  std::vector<Fault> faults;
  std::size_t values = 0;
};

// The value at `index` as JSON; what cannot stand in a plan is a fault of `field` and null. `as` decides what
// an empty table is. Functions are faults: the builder takes those that may stand.
Json to_json(lua_State* lua, int index, const std::string& field, FieldType as, Found& found);

}  // namespace relight::lang
