// The way of a value from Lua to the JSON of a plan, and back.
#include <cmath>

#include "runner/lang/common.h"
#include "runner/lang/state.h"
#include "runner/lang/values.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::lang {

namespace {

constexpr std::size_t values_at_most = 100'000;
constexpr std::size_t depth_at_most = 32;

class Converter {
 public:
  Converter(lua_State* lua, Found& found) : lua_(lua), found_(found) {}

  Json convert(int index, const std::string& field, bool table_wanted) {
    if (++found_.values > values_at_most) {
      if (found_.values == values_at_most + 1)
        fault(top_of(field), "holds more than 100000 values", "put them into a file, and name the file");
      return nullptr;
    }
    switch (lua_type(lua_, index)) {
      case LUA_TNIL:
        return nullptr;
      case LUA_TBOOLEAN:
        return lua_toboolean(lua_, index) != 0;
      case LUA_TNUMBER:
        return number(index, field);
      case LUA_TSTRING:
        return text(index, field);
      case LUA_TTABLE:
        return table(index, field, table_wanted);
      case LUA_TUSERDATA:
        return value(index, field);
      default:
        fault(field, "is a function, which cannot stand here",
              "only when, and the fields of a script, take a function; was a call left out: f()?");
        return nullptr;
    }
  }

 private:
  void fault(const std::string& field, std::string what, std::string hint = "") {
    found_.faults.push_back({field, std::move(what), std::move(hint)});
  }

  Json number(int index, const std::string& field) {
    if (lua_isinteger(lua_, index)) {
      const lua_Integer integer = lua_tointeger(lua_, index);
      return integer >= 0 ? Json(static_cast<std::uint64_t>(integer)) : Json(integer);
    }
    const double number = lua_tonumber(lua_, index);
    if (!std::isfinite(number)) {
      fault(field, std::isnan(number) ? "is not a number (0/0)" : "is an endless number (1/0)");
      return nullptr;
    }
    // 10 / 2 is a float in Lua; where it is whole it is meant as one.
    if (number == std::floor(number) && std::fabs(number) < 9007199254740992.0)
      return number >= 0 ? Json(static_cast<std::uint64_t>(number)) : Json(static_cast<std::int64_t>(number));
    return number;
  }

  Json text(int index, const std::string& field) {
    std::size_t size = 0;
    const char* bytes = lua_tolstring(lua_, index, &size);
    const std::string_view view(bytes, size);
    if (view.find('\0') != std::string_view::npos) {
      fault(field, "holds a NUL byte", "put the bytes into a file, and name the file");
      return nullptr;
    }
    if (!sys::is_utf8(view)) {
      fault(field, "holds bytes that are not UTF-8",
            "save the runbook as UTF-8, or put the bytes into a file");
      return nullptr;
    }
    return std::string(view);
  }

  Json value(int index, const std::string& field) {
    if (const Json* late = late_at(lua_, index)) {
      found_.steps.merge(outputs_used(*late));
      return *late;
    }
    if (const Json* secret = secret_at(lua_, index)) return *secret;
    const StepHandle* handle = handle_at(lua_, index);
    if (handle == nullptr) {
      fault(field, "is a value that cannot stand in a plan");
    } else if (handle->outputs.empty()) {
      fault(field, "is the step \"" + handle->name + "\", which has no outputs",
            "to wait for it, write after = { ... }");
    } else {
      fault(field, "is the step \"" + handle->name + "\", not a value",
            "name the output that you mean: " + sys::join(handle->outputs, ", "));
    }
    return nullptr;
  }

  Json table(int index, const std::string& field, bool table_wanted) {
    const void* self = lua_topointer(lua_, index);
    for (const void* outer : open_)
      if (outer == self) {
        fault(field, "is a table that holds itself");
        return nullptr;
      }
    if (open_.size() == depth_at_most) {
      fault(top_of(field), "is nested more than 32 tables deep");
      return nullptr;
    }
    luaL_checkstack(lua_, 8, "a table of a step");
    lua_Integer count = 0, last = 0;
    std::size_t names = 0;
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      if (lua_isinteger(lua_, -2) && lua_tointeger(lua_, -2) >= 1) {
        ++count;
        last = std::max(last, lua_tointeger(lua_, -2));
      } else if (lua_type(lua_, -2) == LUA_TSTRING) {
        ++names;
      } else {
        lua_pop(lua_, 2);
        fault(field, "has a key that is neither a name nor a place in a list", "write [\"NAME\"] = VALUE");
        return nullptr;
      }
    }
    if (count == 0 && names == 0) return table_wanted ? Json::object() : Json::array();
    if (count > 0 && names > 0) {
      fault(field, "is a list and a table of names at once", "was a name left out, or a comma set wrong?");
      return nullptr;
    }
    open_.push_back(self);
    Json json = names > 0 ? named(index, field) : list(index, field, count, last);
    open_.pop_back();
    return json;
  }

  Json named(int index, const std::string& field) {
    Json json = Json::object();
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      std::size_t size = 0;
      const char* bytes = lua_tolstring(lua_, -2, &size);
      const std::string name(bytes, size);
      if (!sys::is_utf8(name) || name.find('\0') != std::string::npos) {
        fault(field, "has a name with bytes that are not UTF-8");
      } else if (name[0] == '$') {
        fault(field + "." + name, "begins with \"$\", which the plan keeps for itself",
              "choose another name");
      } else {
        json[name] = convert(lua_gettop(lua_), field + "." + name, true);
      }
    }
    return json;
  }

  Json list(int index, const std::string& field, lua_Integer count, lua_Integer last) {
    Json json = Json::array();
    for (lua_Integer place = 1; place <= count; ++place) {
      if (lua_rawgeti(lua_, index, place) == LUA_TNIL) {
        lua_pop(lua_, 1);
        fault(field, "has nil at place " + std::to_string(place) + " of " + std::to_string(last),
              "an input that is not given is nil: build the list with `if input.NAME then`");
        return nullptr;
      }
      json.push_back(convert(lua_gettop(lua_), field + "[" + std::to_string(place) + "]", true));
      lua_pop(lua_, 1);
    }
    return json;
  }

  lua_State* lua_;
  Found& found_;
  std::vector<const void*> open_;
};

}  // namespace

Json to_json(lua_State* lua, int index, const std::string& field, FieldType as, Found& found) {
  const bool table_wanted =
      as == FieldType::table || as == FieldType::texts || as == FieldType::env || as == FieldType::tagged;
  return Converter(lua, found).convert(lua_absindex(lua, index), field, table_wanted);
}

void push_json(lua_State* lua, const Json& value) {
  luaL_checkstack(lua, 4, "a value from JSON");
  if (is_output(value) || is_join(value)) return push_late(lua, value);
  if (is_secret(value)) return push_secret(lua, value);
  switch (value.type()) {
    case Json::value_t::boolean:
      return lua_pushboolean(lua, value.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return lua_pushinteger(lua, value.get<lua_Integer>());
    case Json::value_t::number_float:
      return lua_pushnumber(lua, value.get<double>());
    case Json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      lua_pushlstring(lua, text.data(), text.size());
      return;
    }
    case Json::value_t::array:
      lua_createtable(lua, static_cast<int>(value.size()), 0);
      for (std::size_t i = 0; i < value.size(); ++i) {
        push_json(lua, value[i]);
        lua_rawseti(lua, -2, static_cast<lua_Integer>(i) + 1);
      }
      return;
    case Json::value_t::object:
      lua_createtable(lua, 0, static_cast<int>(value.size()));
      for (auto it = value.begin(); it != value.end(); ++it) {
        push_json(lua, *it);
        lua_setfield(lua, -2, it.key().c_str());
      }
      return;
    default:
      return lua_pushnil(lua);
  }
}

}  // namespace relight::lang
