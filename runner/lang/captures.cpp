#include "runner/lang/captures.h"

#include <cstring>
#include <functional>

#include "runner/lang/values.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"

namespace relight::lang {

namespace {

// Visits every userdata that a function holds; `visit` may push one value in its place and return true.
class Walk {
 public:
  Walk(lua_State* lua, std::function<bool(int index)> visit) : lua_(lua), visit_(std::move(visit)) {}

  void function(int index) {
    if (lua_iscfunction(lua_, index) || !seen_.insert(lua_topointer(lua_, index)).second) return;
    luaL_checkstack(lua_, 8, "a function's locals");
    for (int i = 1; const char* name = lua_getupvalue(lua_, index, i); ++i) {
      const bool replaced = std::strcmp(name, "_ENV") != 0 && value(lua_gettop(lua_));
      if (replaced) lua_setupvalue(lua_, index, i);
      lua_pop(lua_, 1);
    }
  }

 private:
  bool value(int index) {
    switch (lua_type(lua_, index)) {
      case LUA_TFUNCTION:
        function(index);
        return false;
      case LUA_TTABLE:
        table(index);
        return false;
      case LUA_TUSERDATA:
        return visit_(index);
      default:
        return false;
    }
  }

  void table(int index) {
    if (!seen_.insert(lua_topointer(lua_, index)).second) return;
    luaL_checkstack(lua_, 8, "a function's tables");
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      const int key = lua_gettop(lua_) - 1;
      if (!value(lua_gettop(lua_))) continue;
      lua_pushvalue(lua_, key);
      lua_insert(lua_, -2);
      lua_rawset(lua_, index);  // of a key that is there: the traversal goes on
    }
  }

  lua_State* lua_;
  std::function<bool(int)> visit_;
  std::set<const void*> seen_;
};

void each_late(const Json& value, const std::function<void(const Json&)>& visit) {
  if (is_output(value)) return visit(value["$output"]);
  if (is_join(value))
    for (const Json& part : value["$join"]) each_late(part, visit);
}

}  // namespace

Captured captured_by(lua_State* lua, int function) {
  Captured captured;
  Walk walk(lua, [&](int index) {
    if (const StepHandle* handle = handle_at(lua, index)) captured.handles.insert(handle);
    if (const Json* late = late_at(lua, index))
      each_late(*late, [&](const Json& of) {
        captured.outputs.emplace(of[0].get<std::string>(), of[1].get<std::string>());
      });
    return false;
  });
  walk.function(lua_absindex(lua, function));
  return captured;
}

void put_in(lua_State* lua, int function, const std::map<std::string, Json>& outputs) {
  Walk walk(lua, [&](int index) {
    const Json* late = late_at(lua, index);
    if (late == nullptr) return false;
    push_json(lua, resolve(*late, outputs));
    return true;
  });
  walk.function(lua_absindex(lua, function));
}

}  // namespace relight::lang
