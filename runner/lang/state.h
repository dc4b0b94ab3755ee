// One Lua state: its allow-list of names, its bounds, and the guard that every C function of the language
// goes through. Debian's C++ build of Lua raises by exception, so destructors run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <lua.hpp>
#include <new>
#include <optional>
#include <string>

#include "runner/lang/fault.h"
#include "runner/step/call.h"

namespace relight::lang {

struct Limits {
  std::uint64_t instructions = 200'000'000;
  std::size_t memory = 256u << 20;
  int cpu_seconds = 10;
  std::size_t file_size = 4u << 20;  // of the runbook, and of each module
};

// Thrown by the C++ side of the language; the guard makes a Lua error of it.
struct Refusal : std::exception {
  Refusal(std::string what, std::string hint = "")
      : fault{{}, "", std::move(what), std::move(hint), nullptr} {}
  explicit Refusal(RunbookFault told) : fault(std::move(told)) {}
  const char* what() const noexcept override { return fault.what.c_str(); }
  RunbookFault fault;  // without a place: the line that Lua stands at
};

class State {
 public:
  // `owner` is what owner_of gives to the C functions of this state.
  State(const Limits& limits, void* owner);
  ~State();
  State(const State&) = delete;

  lua_State* lua() const { return lua_; }

  // Compiles text, never bytecode, and leaves the chunk on the stack; throws RunbookError.
  void load(const std::string& file, const std::string& text);
  // Calls the function below `arguments` values; throws RunbookError. Other exceptions pass through.
  void call(int arguments, int results);

  void forget_instructions() { instructions_left_ = limits_.instructions; }
  // Asked every 1,000 instructions in place of the instruction bound; true ends the evaluation.
  void bound_by(std::function<bool()> stop) { stop_ = std::move(stop); }

  static State& of(lua_State* lua);
  void* owner() const { return owner_; }
  void pend(RunbookFault fault) { pending_ = std::move(fault); }

 private:
  friend struct StateHooks;
  Limits limits_;
  void* owner_;
  lua_State* lua_ = nullptr;
  std::size_t memory_used_ = 0;
  std::uint64_t instructions_left_;
  std::function<bool()> stop_;
  std::optional<RunbookFault> pending_;  // of the error that is on its way up
  Place memory_refused_at_;
  std::string loading_;  // the file at hand
};

// The innermost place in a runbook or module that Lua stands at.
Place place_of(lua_State* lua);
// Keeps the line for the message of the timer that ends a pattern bomb (bounds.h).
void note_line(lua_State* lua);

void* owner_pointer(lua_State* lua);
[[noreturn]] void raise_refusal(lua_State* lua, RunbookFault fault);

// Every lua_CFunction of the language is guarded<F>: an exception becomes a Lua error after its scope has
// closed.
template <int (*F)(lua_State*)>
int guarded(lua_State* lua) {
  RunbookFault fault;
  try {
    return F(lua);
  } catch (const Refusal& refusal) {
    fault = refusal.fault;
  } catch (const RunbookError& error) {
    fault = error.faults().front();
  } catch (const Error& error) {
    fault = {{}, "", error.what(), error.hint, std::current_exception()};
  } catch (const Stopped&) {
    fault = {{}, "", "it was told to stop", "", std::current_exception()};
  } catch (const std::bad_alloc&) {
    fault = {{},
             "",
             "it needs more memory than it may have",
             "is there a text or a table that grows without an end?",
             nullptr};
  } catch (const std::exception& error) {
    fault = {{}, "", error.what(), "", nullptr};
  }
  raise_refusal(lua, std::move(fault));
}

}  // namespace relight::lang
