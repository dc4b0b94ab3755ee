#include "runner/lang/state.h"

#include <cstdlib>
#include <cstring>

#include "runner/lang/bounds.h"
#include "runner/lang/library.h"

namespace relight::lang {

namespace {

constexpr int hook_every = 1000;

std::string place_file(const lua_Debug& info) {
  return info.source[0] == '@' ? info.source + 1 : info.source;
}

// "rebuild.lua:12: attempt to ..." -> the place and the rest. Lua cuts long file names in its messages, so
// the place found on the stack stands where the prefix is another function's C position or is cut.
std::string without_prefix(const std::string& message, Place& place) {
  const std::size_t colon = message.find(".lua:");
  if (colon == std::string::npos || message.find_first_of(" \n") < colon) return message;
  const std::size_t number = colon + 5;
  std::size_t end = number;
  while (end < message.size() && message[end] >= '0' && message[end] <= '9') ++end;
  if (end == number || message.compare(end, 2, ": ") != 0) return message;
  if (message[0] != '.' || place.file.empty()) place.file = message.substr(0, colon + 4);
  place.line = std::atoi(message.c_str() + number);
  return message.substr(end + 2);
}

// What Lua says in its own words, and what the author of a runbook most often meant.
std::string hint_for(const std::string& message) {
  const auto says = [&](const char* part) { return message.find(part) != std::string::npos; };
  if (says("a nil value (field") && !says("'?'") &&
      (says("arithmetic") || says("concatenate") || says("index")))
    return "an input that is not given is nil: ask `if input.NAME then` first";
  if (says("attempt to call a table value")) return "a constructor takes its name first: \"name\" { ... }";
  if (says("attempt to compare")) return "";
  if (says("near '='") && says("expected")) return "a field is written NAME = VALUE, and a list in { }";
  return "";
}

}  // namespace

struct StateHooks {
  static void* allocate(void* user, void* block, std::size_t old_size, std::size_t new_size) {
    State& state = *static_cast<State*>(user);
    const std::size_t old = block ? old_size : 0;
    if (new_size == 0) {
      state.memory_used_ -= old;
      std::free(block);
      return nullptr;
    }
    if (new_size > old && state.memory_used_ - old + new_size > state.limits_.memory) {
      if (state.lua_) state.memory_refused_at_ = place_of(state.lua_);
      return nullptr;
    }
    void* moved = std::realloc(block, new_size);
    if (moved) state.memory_used_ += new_size - old;
    return moved;
  }

  static void count(lua_State* lua, lua_Debug*) {
    State& state = State::of(lua);
    note_line(lua);
    if (state.stop_) {
      if (state.stop_()) raise_refusal(lua, {{}, "", "it was told to stop", ""});
      return;
    }
    if (state.instructions_left_ > hook_every) {
      state.instructions_left_ -= hook_every;
      return;
    }
    raise_refusal(lua, {{},
                        "",
                        "it has run " + std::to_string(state.limits_.instructions / 1'000'000) +
                            " million instructions without an end",
                        "is there a loop that never ends? what takes work belongs into a step"});
  }

  static int message(lua_State* lua) {
    State& state = State::of(lua);
    if (state.pending_) return 1;
    RunbookFault fault;
    fault.at = place_of(lua);
    std::size_t size = 0;
    const char* text = lua_type(lua, 1) == LUA_TSTRING ? lua_tolstring(lua, 1, &size) : nullptr;
    fault.what = text ? without_prefix({text, size}, fault.at)
                      : std::string("error() was called with a ") + luaL_typename(lua, 1) + ", not a text";
    fault.hint = hint_for(fault.what);
    state.pending_ = std::move(fault);
    return 1;
  }

  // What lua_pcall returned, as an exception.
  [[noreturn]] static void raise(State& state, int status) {
    lua_State* lua = state.lua_;
    RunbookFault fault;
    if (status == LUA_ERRMEM) {
      fault = {state.memory_refused_at_, "",
               "it needs more than " + std::to_string(state.limits_.memory >> 20) + " MiB of memory",
               "is there a text or a table that grows without an end?"};
    } else if (state.pending_) {
      fault = std::move(*state.pending_);
    } else {
      std::size_t size = 0;
      const char* text = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : "";
      fault.what = without_prefix({text, size}, fault.at);
      fault.hint = hint_for(fault.what);
    }
    state.pending_.reset();
    if (fault.at.file.empty()) fault.at.file = state.loading_;
    lua_settop(lua, 0);
    throw RunbookError({std::move(fault)});
  }
};

State::State(const Limits& limits, void* owner)
    : limits_(limits), owner_(owner), instructions_left_(limits.instructions) {
  lua_ = lua_newstate(&StateHooks::allocate, this);
  if (lua_ == nullptr)
    throw Error(ErrorKind::transient, "cannot load the runbook", "Lua", "there is not enough memory");
  *static_cast<State**>(lua_getextraspace(lua_)) = this;
  open_library(lua_);
  lua_sethook(lua_, &StateHooks::count, LUA_MASKCOUNT, hook_every);
}

State::~State() {
  lua_close(lua_);
}

State& State::of(lua_State* lua) {
  return **static_cast<State**>(lua_getextraspace(lua));
}

void* owner_pointer(lua_State* lua) {
  return State::of(lua).owner();
}

void State::load(const std::string& file, const std::string& text) {
  loading_ = file;
  const int status = luaL_loadbufferx(lua_, text.data(), text.size(), ("@" + file).c_str(), "t");
  if (status == LUA_OK) {
    push_environment(lua_);
    lua_setupvalue(lua_, -2, 1);
    return;
  }
  if (status == LUA_ERRSYNTAX) {
    Place place{file, 0};
    std::size_t size = 0;
    const char* message = lua_tolstring(lua_, -1, &size);
    std::string what = without_prefix({message, size}, place);
    place.file = file;
    const std::string hint = hint_for(what);
    lua_settop(lua_, 0);
    throw RunbookError({{place, "", std::move(what), hint}});
  }
  StateHooks::raise(*this, status);
}

void State::call(int arguments, int results) {
  const int function = lua_gettop(lua_) - arguments;
  lua_pushcfunction(lua_, &StateHooks::message);
  lua_insert(lua_, function);
  const int status = lua_pcall(lua_, arguments, results, function);
  if (status != LUA_OK) StateHooks::raise(*this, status);
  lua_remove(lua_, function);
}

Place place_of(lua_State* lua) {
  lua_Debug info;
  for (int level = 0; lua_getstack(lua, level, &info); ++level) {
    lua_getinfo(lua, "Sl", &info);
    if (info.currentline > 0) return {place_file(info), info.currentline};
  }
  return {};
}

void note_line(lua_State* lua) {
  lua_Debug info;
  for (int level = 0; lua_getstack(lua, level, &info); ++level) {
    lua_getinfo(lua, "Sl", &info);
    if (info.currentline <= 0) continue;
    last_line_seen(info.source[0] == '@' ? info.source + 1 : info.source, info.currentline);
    return;
  }
}

void raise_refusal(lua_State* lua, RunbookFault fault) {
  {
    RunbookFault told = std::move(fault);
    if (told.at.line == 0) told.at = place_of(lua);
    State::of(lua).pend(std::move(told));
  }
  lua_pushliteral(lua, "refused");
  lua_error(lua);
  std::abort();  // lua_error does not return
}

}  // namespace relight::lang
