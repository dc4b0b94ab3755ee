// `ctx`: what a script's functions may do. Every effect goes through the step's Call and the system helpers.
#pragma once
#include <lua.hpp>

#include "runner/step/call.h"
#include "runner/step/params.h"

namespace relight::lang {

// Both outlive every use of the table that is pushed.
void push_context(lua_State* lua, const Params& params, Call& call);

}  // namespace relight::lang
