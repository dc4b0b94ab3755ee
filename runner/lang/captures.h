// What a Lua function holds of the world outside it: the steps whose outputs it will read.
#pragma once
#include <lua.hpp>
#include <map>
#include <set>
#include <string>

#include "runner/sys/json.h"

namespace relight::lang {

struct StepHandle;

struct Captured {
  std::set<const StepHandle*> handles;
  std::set<std::pair<std::string, std::string>> outputs;  // step, output: of values not yet known
};
// Through its locals, their tables, and the functions that it calls.
Captured captured_by(lua_State* lua, int function);

// Puts the outputs in where the function holds values that were not known; handles know theirs by
// StepHandle::known.
void put_in(lua_State* lua, int function, const std::map<std::string, Json>& outputs);

}  // namespace relight::lang
