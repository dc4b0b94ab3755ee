#include "runner/lang/library.h"

#include <cstring>
#include <map>
#include <string_view>

#include "runner/lang/state.h"
#include "runner/lang/values.h"
#include "runner/step/schema.h"

namespace relight::lang {

namespace {

const char* const environment_key = "relight.environment";
const char* const globals_key = "relight.globals";

int absent_global(lua_State* lua) {
  if (lua_type(lua, 2) != LUA_TSTRING) throw Refusal("a global is looked up by its name only");
  const std::string name = lua_tostring(lua, 2);
  if (std::string why = why_absent(name); !why.empty()) throw Refusal("`" + name + "` is not there", why);
  std::vector<std::string> names;
  for (lua_pushnil(lua); lua_next(lua, 1); lua_pop(lua, 1))
    if (lua_type(lua, -2) == LUA_TSTRING) names.push_back(lua_tostring(lua, -2));
  const std::string near = near_name(name, names);
  throw Refusal("nothing is named `" + name + "`",
                near.empty() ? "a text stands in quotes; a name must be a local above this line"
                             : "did you mean `" + near + "`?");
}

int write_global(lua_State* lua) {
  const std::string name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
  throw Refusal("`" + name + "` would be a global", "write `local " + name + " = ...`");
}

int absent_field(lua_State* lua) {
  const std::string table = lua_tostring(lua, lua_upvalueindex(1));
  const std::string name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : luaL_typename(lua, 2);
  if (name.starts_with("random") || name == "dump")
    throw Refusal("`" + table + "." + name + "` is not there",
                  "a runbook gives the same plan each time it is read");
  std::vector<std::string> names;
  for (lua_pushnil(lua); lua_next(lua, 1); lua_pop(lua, 1))
    if (lua_type(lua, -2) == LUA_TSTRING) names.push_back(lua_tostring(lua, -2));
  const std::string near = near_name(name, names);
  throw Refusal("`" + table + "` has no `" + name + "`",
                near.empty() ? "" : "did you mean `" + table + "." + near + "`?");
}

int write_locked(lua_State* lua) {
  throw Refusal(std::string("`") + lua_tostring(lua, lua_upvalueindex(1)) + "` cannot be written to",
                "keep it in a local of its own");
}

// `pairs` in the order of the keys: numbers, then texts, then false and true.
int next_pair(lua_State* lua) {
  const lua_Integer place = lua_tointeger(lua, lua_upvalueindex(2));
  lua_pushinteger(lua, place + 1);
  lua_replace(lua, lua_upvalueindex(2));
  if (lua_rawgeti(lua, lua_upvalueindex(1), place) == LUA_TNIL) return 1;
  lua_pushvalue(lua, -1);
  lua_rawget(lua, 1);
  return 2;
}

bool key_before(lua_State* lua, int a, int b) {
  const int type_a = lua_type(lua, a), type_b = lua_type(lua, b);
  const auto rank = [](int type) { return type == LUA_TNUMBER ? 0 : type == LUA_TSTRING ? 1 : 2; };
  if (type_a != type_b) return rank(type_a) < rank(type_b);
  if (type_a == LUA_TBOOLEAN) return lua_toboolean(lua, a) < lua_toboolean(lua, b);
  if (type_a == LUA_TNUMBER) return lua_compare(lua, a, b, LUA_OPLT);
  std::size_t size_a, size_b;  // by bytes: strcoll would ask the locale
  const char* text_a = lua_tolstring(lua, a, &size_a);
  const char* text_b = lua_tolstring(lua, b, &size_b);
  return std::string_view(text_a, size_a) < std::string_view(text_b, size_b);
}

int less_by_lua(lua_State* lua, int a, int b) {
  if (lua_isnil(lua, 2)) return lua_compare(lua, a, b, LUA_OPLT);
  lua_pushvalue(lua, 2);
  lua_pushvalue(lua, a < 0 ? a - 1 : a);
  lua_pushvalue(lua, b < 0 ? b - 2 : b);
  lua_call(lua, 2, 1);
  const int less = lua_toboolean(lua, -1);
  lua_pop(lua, 1);
  return less;
}

// A stable merge sort of the list at `list`: Lua's own takes its pivot from the clock.
template <class Less>
void merge_sort(lua_State* lua, int list, lua_Integer size, Less less) {
  lua_createtable(lua, static_cast<int>(size), 0);
  int from = list, to = lua_gettop(lua);
  for (lua_Integer width = 1; width < size; width *= 2) {
    for (lua_Integer start = 1; start <= size; start += 2 * width) {
      const lua_Integer middle = std::min(start + width, size + 1),
                        end = std::min(start + 2 * width, size + 1);
      lua_Integer left = start, right = middle;
      for (lua_Integer place = start; place < end; ++place) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
          lua_rawgeti(lua, from, right);
          lua_rawgeti(lua, from, left);
          take_right = less(lua, -2, -1);
          lua_pop(lua, 2);
        }
        lua_rawgeti(lua, from, take_right ? right++ : left++);
        lua_rawseti(lua, to, place);
      }
    }
    std::swap(from, to);
  }
  if (from != list)
    for (lua_Integer place = 1; place <= size; ++place) {
      lua_rawgeti(lua, from, place);
      lua_rawseti(lua, list, place);
    }
  lua_pop(lua, 1);
}

int sorted_pairs(lua_State* lua) {
  if (lua_type(lua, 1) != LUA_TTABLE)
    throw Refusal(std::string("pairs wants a table, but got a ") + luaL_typename(lua, 1));
  lua_settop(lua, 1);
  lua_newtable(lua);
  lua_Integer size = 0;
  for (lua_pushnil(lua); lua_next(lua, 1); lua_pop(lua, 1)) {
    const int type = lua_type(lua, -2);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN)
      throw Refusal(
          std::string("pairs over a table with a ") + lua_typename(lua, type) + " as a key has no order",
          "use texts or numbers as keys");
    lua_pushvalue(lua, -2);
    lua_rawseti(lua, 2, ++size);
  }
  merge_sort(lua, 2, size, [](lua_State* state, int a, int b) { return key_before(state, a, b); });
  lua_pushinteger(lua, 1);
  lua_pushcclosure(lua, guarded<next_pair>, 2);
  lua_pushvalue(lua, 1);
  lua_pushnil(lua);
  return 3;
}

int sort(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  if (!lua_isnoneornil(lua, 2)) luaL_checktype(lua, 2, LUA_TFUNCTION);
  lua_settop(lua, 2);
  merge_sort(lua, 1, luaL_len(lua, 1),
             [](lua_State* state, int a, int b) { return less_by_lua(state, a, b) != 0; });
  return 0;
}

// The address of a table or function would differ from one evaluation to the next.
void refuse_address(lua_State* lua, int index, const char* of) {
  const int type = lua_type(lua, index);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION)
    throw Refusal(std::string(of) + " of a " + lua_typename(lua, type) + ": it has no text",
                  type == LUA_TTABLE ? "name the field that you mean, or use table.concat" : "");
}

int to_text(lua_State* lua) {
  luaL_checkany(lua, 1);
  refuse_address(lua, 1, "tostring");
  luaL_tolstring(lua, 1, nullptr);
  return 1;
}

int format(lua_State* lua) {
  note_line(lua);
  const char* text = luaL_checkstring(lua, 1);
  for (const char* at = std::strchr(text, '%'); at; at = std::strchr(at, '%')) {
    ++at;
    while (*at && std::strchr("-+ #0123456789.", *at)) ++at;
    if (*at == 'p') throw Refusal("string.format with %p: an address differs each time");
    if (*at) ++at;
  }
  for (int i = 2; i <= lua_gettop(lua); ++i) refuse_address(lua, i, "string.format");
  return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

// string.find and its kin run long without a hook: the timer's message shall know the line.
int noted(lua_State* lua) {
  note_line(lua);
  return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

void replace_noted(lua_State* lua, const char* name, lua_CFunction with) {
  lua_getfield(lua, -1, name);
  lua_pushcclosure(lua, with, 1);
  lua_setfield(lua, -2, name);
}

void drop(lua_State* lua, const char* name) {
  lua_pushnil(lua);
  lua_setfield(lua, -2, name);
}

void push_locked_metatable(lua_State* lua, lua_CFunction on_write) {
  lua_createtable(lua, 0, 3);
  lua_pushliteral(lua, "locked");
  lua_setfield(lua, -2, "__metatable");
  if (on_write == nullptr) return;
  lua_pushcfunction(lua, on_write);
  lua_setfield(lua, -2, "__newindex");
}

void open_string(lua_State* lua) {
  luaL_requiref(lua, "string", luaopen_string, 0);
  drop(lua, "dump");
  for (const char* name : {"find", "match", "gmatch", "gsub", "rep"})
    replace_noted(lua, name, guarded<noted>);
  replace_noted(lua, "format", guarded<format>);
  lua_pushliteral(lua, "");
  lua_getmetatable(lua, -1);
  lua_pushcfunction(lua, guarded<join_paths>);
  lua_setfield(lua, -2, "__div");
  lua_pop(lua, 2);
  lock_table(lua, "string");
  set_global(lua, "string");
}

}  // namespace

const std::vector<std::string>& lua_names() {
  static const std::vector<std::string> names = {"assert", "error", "ipairs",   "math",     "pairs", "select",
                                                 "string", "table", "tonumber", "tostring", "type",  "utf8"};
  return names;
}

const std::vector<std::string>& word_names() {
  static const std::vector<std::string> names = {"approve", "inputs", "require",
                                                 "runbook", "script", "secret"};
  return names;
}

std::string why_absent(const std::string& name) {
  static const std::map<std::string, std::string> reasons = {
      {"print", "a runbook only describes its steps: use `doc`, or ctx.log in a script step"},
      {"io", "loading a runbook touches nothing: files are for steps (host.file, script)"},
      {"os",
       "loading a runbook touches nothing: programs are for steps (shell.run, script), times are inputs"},
      {"debug", "nothing in a runbook may look below it"},
      {"load", "write the code where it stands, or in a module for require"},
      {"loadstring", "write the code where it stands, or in a module for require"},
      {"loadfile", "use require for a module beside the runbook"},
      {"dofile", "use require for a module beside the runbook"},
      {"coroutine", "a runbook is read from top to bottom: use a loop"},
      {"collectgarbage", "memory is kept within bounds for you"},
      {"pcall", "an error in a runbook is for its author: let it be told"},
      {"xpcall", "an error in a runbook is for its author: let it be told"},
      {"next", "use pairs, which goes in the order of the keys"},
      {"rawget", "tables of a runbook have no metatables: index them"},
      {"rawset", "tables of a runbook have no metatables: index them"},
      {"rawequal", "tables of a runbook have no metatables: use =="},
      {"rawlen", "tables of a runbook have no metatables: use #"},
      {"setmetatable", "tables of a runbook have no metatables"},
      {"getmetatable", "tables of a runbook have no metatables"},
      {"_G", "globals are not there: use locals"},
      {"_ENV", "globals are not there: use locals"},
      {"_VERSION", "it would make the plan depend on the program"},
      {"warn", "a runbook only describes its steps: use `doc`"},
  };
  const auto found = reasons.find(name);
  return found == reasons.end() ? "" : found->second;
}

void lock_table(lua_State* lua, const char* name, lua_CFunction absent) {
  const int real = lua_gettop(lua);
  lua_createtable(lua, 0, 1);
  lua_pushstring(lua, name);
  lua_pushcclosure(lua, absent ? absent : guarded<absent_field>, 1);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, real);

  lua_createtable(lua, 0, 0);
  push_locked_metatable(lua, nullptr);
  lua_pushstring(lua, name);
  lua_pushcclosure(lua, guarded<write_locked>, 1);
  lua_setfield(lua, -2, "__newindex");
  lua_pushvalue(lua, real);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
  lua_remove(lua, real);
}

void push_environment(lua_State* lua) {
  lua_getfield(lua, LUA_REGISTRYINDEX, environment_key);
}

void set_global(lua_State* lua, const char* name) {
  lua_getfield(lua, LUA_REGISTRYINDEX, globals_key);
  lua_insert(lua, -2);
  lua_setfield(lua, -2, name);
  lua_pop(lua, 1);
}

void open_library(lua_State* lua) {
  lua_newtable(lua);
  lua_createtable(lua, 0, 1);
  lua_pushcfunction(lua, guarded<absent_global>);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
  lua_pushvalue(lua, -1);
  lua_setfield(lua, LUA_REGISTRYINDEX, globals_key);
  lua_createtable(lua, 0, 0);
  push_locked_metatable(lua, guarded<write_global>);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
  lua_setfield(lua, LUA_REGISTRYINDEX, environment_key);
  lua_pop(lua, 1);

  luaL_requiref(lua, "_G", luaopen_base, 0);
  for (const char* name : {"assert", "error", "ipairs", "select", "tonumber", "type"}) {
    lua_getfield(lua, -1, name);
    set_global(lua, name);
  }
  lua_pop(lua, 1);
  lua_pushcfunction(lua, guarded<sorted_pairs>);
  set_global(lua, "pairs");
  lua_pushcfunction(lua, guarded<to_text>);
  set_global(lua, "tostring");

  open_string(lua);
  luaL_requiref(lua, "table", luaopen_table, 0);
  lua_pushcfunction(lua, guarded<sort>);
  lua_setfield(lua, -2, "sort");
  lock_table(lua, "table");
  set_global(lua, "table");
  luaL_requiref(lua, "math", luaopen_math, 0);
  drop(lua, "random");
  drop(lua, "randomseed");
  lock_table(lua, "math");
  set_global(lua, "math");
  luaL_requiref(lua, "utf8", luaopen_utf8, 0);
  lock_table(lua, "utf8");
  set_global(lua, "utf8");
}

}  // namespace relight::lang
