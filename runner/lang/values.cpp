#include "runner/lang/values.h"

#include "runner/lang/state.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

const char* const handle_name = "relight.handle";
const char* const late_name = "relight.late";
const char* const secret_name_of_type = "relight.secret";

struct Event {
  const char* name;
  const char* verb;
};

// Everything that Lua can trap. `==` between a text and one of these it cannot: scan.h.
constexpr Event events[] = {
    {"__tostring", "turned into a text"},
    {"__len", "measured with #"},
    {"__lt", "compared"},
    {"__le", "compared"},
    {"__eq", "compared"},
    {"__add", "calculated with"},
    {"__sub", "calculated with"},
    {"__mul", "calculated with"},
    {"__mod", "calculated with"},
    {"__pow", "calculated with"},
    {"__unm", "calculated with"},
    {"__idiv", "calculated with"},
    {"__band", "calculated with"},
    {"__bor", "calculated with"},
    {"__bxor", "calculated with"},
    {"__shl", "calculated with"},
    {"__shr", "calculated with"},
    {"__bnot", "calculated with"},
    {"__newindex", "written to"},
    {"__call", "called"},
};

[[noreturn]] void refuse_handle(const StepHandle& handle, const std::string& verb) {
  throw Refusal("the step \"" + handle.name + "\" cannot be " + verb,
                handle.outputs.empty() ? "it has no outputs; a step can stand in `after`"
                                       : "name the output that you mean: " + sys::join(handle.outputs, ", "));
}

[[noreturn]] void refuse_late(const Json& value, const std::string& verb) {
  const std::string step = *outputs_used(value).begin();
  throw Refusal("the value " + shown(value) + " is not known yet and cannot be " + verb,
                "it can be passed and joined; what depends on it is a function: when = function(o) return o" +
                    (step.find_first_of("-.") == std::string::npos ? "." + step : "[\"" + step + "\"]") +
                    "... end");
}

[[noreturn]] void refuse_secret(const std::string& verb) {
  throw Refusal("a secret cannot be " + verb,
                "pass it as it is to a field that takes one (a secret field, env, or `secrets` of a script)");
}

int refuse(lua_State* lua) {
  const std::string verb = lua_tostring(lua, lua_upvalueindex(1));
  for (int i = 1; i <= 2; ++i) {
    if (const StepHandle* handle = handle_at(lua, i)) refuse_handle(*handle, verb);
    if (const Json* late = late_at(lua, i)) refuse_late(*late, verb);
    if (secret_at(lua, i)) refuse_secret(verb);
  }
  throw Refusal("a value cannot be " + verb);
}

int index_handle(lua_State* lua) {
  const StepHandle& handle = *handle_at(lua, 1);
  if (lua_type(lua, 2) != LUA_TSTRING) refuse_handle(handle, "looked into by a number");
  const std::string output = lua_tostring(lua, 2);
  bool declared = handle.any_output;
  for (const std::string& name : handle.outputs) declared = declared || name == output;
  if (!declared) {
    const std::string near = near_name(output, handle.outputs);
    throw Refusal("the step \"" + handle.name + "\" has no output `" + output + "`",
                  !near.empty()            ? "did you mean `" + near + "`?"
                  : handle.outputs.empty() ? "its type declares no outputs"
                                           : "its outputs are " + sys::join(handle.outputs, ", "));
  }
  if (handle.known == nullptr) {
    push_late(lua, Json{{"$output", {handle.name, output}}});
  } else {
    const auto value = handle.known->find(output);
    push_json(lua, value == handle.known->end() ? Json() : *value);
  }
  return 1;
}

int index_late(lua_State* lua) {
  refuse_late(*late_at(lua, 1), "looked into");
}

int index_secret(lua_State*) {
  refuse_secret("looked into");
}

// A text, a number or an output not yet known, as parts of a $join; another value is refused.
void add_parts(lua_State* lua, int index, Json& parts) {
  const auto add_text = [&](const std::string& text) {
    if (text.empty()) return;
    if (!parts.empty() && parts.back().is_string())
      parts.back() = parts.back().get<std::string>() + text;
    else
      parts.push_back(text);
  };
  if (const Json* late = late_at(lua, index)) {
    if (!is_join(*late)) return parts.push_back(*late);
    for (const Json& part : (*late)["$join"])
      if (part.is_string())
        add_text(part.get<std::string>());
      else
        parts.push_back(part);
    return;
  }
  if (const StepHandle* handle = handle_at(lua, index)) refuse_handle(*handle, "joined as a text");
  if (secret_at(lua, index)) refuse_secret("joined with a text");
  const int type = lua_type(lua, index);
  if (type == LUA_TNIL)
    throw Refusal("nil cannot be joined",
                  "an input that is not given is nil: ask `if input.NAME then` first");
  if (type != LUA_TSTRING && type != LUA_TNUMBER)
    throw Refusal(std::string("a ") + lua_typename(lua, type) + " cannot be joined with a text");
  lua_pushvalue(lua, index);
  std::size_t size = 0;
  const char* text = lua_tolstring(lua, -1, &size);
  add_text({text, size});
  lua_pop(lua, 1);
}

int join_texts(lua_State* lua) {
  Json parts = Json::array();
  add_parts(lua, 1, parts);
  add_parts(lua, 2, parts);
  push_late(lua, Json{{"$join", std::move(parts)}});
  return 1;
}

void set_events(lua_State* lua) {
  for (const Event& event : events) {
    lua_pushstring(lua, event.verb);
    lua_pushcclosure(lua, guarded<refuse>, 1);
    lua_setfield(lua, -2, event.name);
  }
  lua_pushliteral(lua, "locked");
  lua_setfield(lua, -2, "__metatable");
}

int drop_json(lua_State* lua) {
  Json** box = static_cast<Json**>(lua_touserdata(lua, 1));
  delete *box;
  *box = nullptr;
  return 0;
}

void push_boxed(lua_State* lua, const Json& value, const char* type) {
  Json** box = static_cast<Json**>(lua_newuserdatauv(lua, sizeof(Json*), 0));
  *box = nullptr;
  luaL_setmetatable(lua, type);
  *box = new Json(value);
}

const Json* boxed_at(lua_State* lua, int index, const char* type) {
  if (lua_type(lua, index) != LUA_TUSERDATA) return nullptr;
  Json** box = static_cast<Json**>(luaL_testudata(lua, index, type));
  return box ? *box : nullptr;
}

}  // namespace

void set_function(lua_State* lua, const char* name, lua_CFunction function) {
  lua_pushcfunction(lua, function);
  lua_setfield(lua, -2, name);
}

void open_values(lua_State* lua) {
  luaL_newmetatable(lua, handle_name);
  set_events(lua);
  set_function(lua, "__index", guarded<index_handle>);
  set_function(lua, "__concat", guarded<join_texts>);
  set_function(lua, "__div", guarded<join_paths>);
  luaL_newmetatable(lua, late_name);
  set_events(lua);
  set_function(lua, "__index", guarded<index_late>);
  set_function(lua, "__concat", guarded<join_texts>);
  set_function(lua, "__div", guarded<join_paths>);
  set_function(lua, "__gc", guarded<drop_json>);
  luaL_newmetatable(lua, secret_name_of_type);
  set_events(lua);
  set_function(lua, "__index", guarded<index_secret>);
  set_function(lua, "__concat", guarded<join_texts>);
  set_function(lua, "__div", guarded<join_paths>);
  set_function(lua, "__gc", guarded<drop_json>);
  lua_pop(lua, 3);
}

void push_handle(lua_State* lua, const StepHandle* handle) {
  *static_cast<const StepHandle**>(lua_newuserdatauv(lua, sizeof(StepHandle*), 0)) = handle;
  luaL_setmetatable(lua, handle_name);
}

void push_late(lua_State* lua, const Json& value) {
  push_boxed(lua, value, late_name);
}

void push_secret(lua_State* lua, const Json& value) {
  push_boxed(lua, value, secret_name_of_type);
}

const StepHandle* handle_at(lua_State* lua, int index) {
  if (lua_type(lua, index) != LUA_TUSERDATA) return nullptr;
  void* box = luaL_testudata(lua, index, handle_name);
  return box ? *static_cast<const StepHandle**>(box) : nullptr;
}

const Json* late_at(lua_State* lua, int index) {
  return boxed_at(lua, index, late_name);
}

const Json* secret_at(lua_State* lua, int index) {
  return boxed_at(lua, index, secret_name_of_type);
}

int join_paths(lua_State* lua) {
  Json left = Json::array(), right = Json::array();
  add_parts(lua, 1, left);
  add_parts(lua, 2, right);
  const auto quoted = [&](int index) {
    return late_at(lua, index) ? shown(*late_at(lua, index))
                               : "\"" + std::string(luaL_tolstring(lua, index, nullptr)) + "\"";
  };
  if (left.empty() || right.empty())
    throw Refusal("a path cannot be joined with the empty text",
                  "leave the `/` out, or write the name that is missing");
  if (right[0].is_string() && right[0].get<std::string>()[0] == '/')
    throw Refusal("the path " + quoted(2) + " is absolute: it cannot be joined to " + quoted(1),
                  "take the first `/` of the right side away, or join texts with ..");
  Json parts = std::move(left);
  const auto add = [&](const Json& part) {
    if (part.is_string() && !parts.empty() && parts.back().is_string())
      parts.back() = parts.back().get<std::string>() + part.get<std::string>();
    else
      parts.push_back(part);
  };
  if (!parts.back().is_string() || parts.back().get<std::string>().back() != '/') add("/");
  for (const Json& part : right) add(part);
  if (parts.size() == 1 && parts[0].is_string()) {
    const std::string text = parts[0].get<std::string>();
    lua_pushlstring(lua, text.data(), text.size());
  } else {
    push_late(lua, Json{{"$join", std::move(parts)}});
  }
  return 1;
}

}  // namespace relight::lang
