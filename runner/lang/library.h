// The names that a runbook may use of Lua, and none beside them: an allow-list, each of them pure.
#pragma once
#include <lua.hpp>
#include <string>
#include <vector>

namespace relight::lang {

void open_library(lua_State* lua);                  // once for a state
void push_environment(lua_State* lua);              // what _ENV is: empty, locked, before the globals
void set_global(lua_State* lua, const char* name);  // pops the value

// Pushes a table that cannot be written: reading goes to the table on the top of the stack, which it
// replaces; a name that is not in it is an error: "NAME has no FIELD",
// or what `absent`, made a closure over the name, makes of it.
void lock_table(lua_State* lua, const char* name, lua_CFunction absent = nullptr);

// The allowed names of Lua itself ("pairs", "string", ...), in alphabetical order.
const std::vector<std::string>& lua_names();
// Why a name of plain Lua is not there; empty: it is none of Lua's.
std::string why_absent(const std::string& name);
// The words of the language that are no families: runbook, inputs, approve, script, secret, require.
const std::vector<std::string>& word_names();

}  // namespace relight::lang
