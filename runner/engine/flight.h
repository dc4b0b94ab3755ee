// The attempts in flight: what was begun and has not ended. How an attempt is carried out is the world's to
// say.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/engine/attempt.h"
#include "runner/engine/context.h"

namespace relight {

class Flight {
 public:
  explicit Flight(Context& context) : context_(context) {}
  virtual ~Flight() = default;

  // Before the first record of this process is written; called once.
  virtual void begin() = 0;

  virtual std::size_t most() const { return SIZE_MAX; }  // how many may be in flight, once begun
  std::size_t size() const { return active_.size(); }
  bool has(std::size_t step) const { return active_.count(step) > 0; }
  void forget(std::size_t step) { active_.erase(step); }

  Attempt& add(std::size_t step, const std::string& op, int number);  // not begun yet
  virtual void spawn(std::size_t step) = 0;  // an error is the attempt's own, told by wait()

  // Waits for something to happen, at most until `next`; returns the attempts that are over: their processes,
  // and all that those left behind, are gone. `terminal`: set when a line can be read from stdin.
  virtual std::vector<Attempt> wait(std::optional<Clock::time_point> next, bool* terminal) = 0;

  // A probe that looks for downtimes, beside all that is in flight: what it sees is recorded as it comes.
  // Where one watches already, nothing.
  virtual void watch(std::size_t) {}
  virtual void end_watches() {}  // each after one more look

  int signals_seen() const { return signals_seen_; }
  int last_signal() const { return last_signal_; }

 protected:
  Context& context_;
  std::map<std::size_t, Attempt> active_;
  int signals_seen_ = 0, last_signal_ = 0;
};

}  // namespace relight
