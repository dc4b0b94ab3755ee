// The attempts in flight: programs and workers under the keeper, their messages, output, timeouts and
// signals.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/engine/attempt.h"
#include "runner/engine/context.h"
#include "runner/sys/keeper.h"

namespace relight {

class Flight {
 public:
  explicit Flight(Context& context);
  void start_keeper();

  std::size_t size() const { return active_.size(); }
  bool has(std::size_t step) const { return active_.count(step) > 0; }
  void forget(std::size_t step) { active_.erase(step); }

  Attempt& add(std::size_t step, const std::string& op, int number);  // not begun yet
  void spawn(std::size_t step);  // an error is the attempt's own, told by wait()

  // Waits for something to happen, at most until `next`; returns the attempts that are over: their processes,
  // and all that those left behind, are gone. `terminal`: set when a line can be read from stdin.
  std::vector<Attempt> wait(std::optional<Clock::time_point> next, bool* terminal);

  int signals_seen() const { return signals_seen_; }
  int last_signal() const { return last_signal_; }

 private:
  Json request_for(const Attempt& attempt);
  std::optional<Child> child_of(const Attempt& attempt);
  void take_messages(Attempt& attempt);
  void take_message(Attempt& attempt, const Json& message);
  Json launch(const Json& wanted);
  void take_signals();
  void take_keeper_events();
  void mind_the_clock();
  void end_attempt(Attempt& attempt);

  Context& context_;
  std::map<std::size_t, Attempt> active_;
  sys::Fd signals_;
  std::optional<sys::Keeper> keeper_;
  int signals_seen_ = 0, last_signal_ = 0;
};

}  // namespace relight
