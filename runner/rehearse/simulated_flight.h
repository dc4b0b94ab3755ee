// Attempts that pretend: an effect that comes half and then whole, a note before it, an end, each at a time
// of its own.
#pragma once
#include <map>
#include <vector>

#include "runner/engine/flight.h"
#include "runner/rehearse/simulated_world.h"

namespace relight {

class SimulatedFlight : public Flight {
 public:
  SimulatedFlight(SimulatedWorld& world, Context& context) : Flight(context), world_(world) {}

  void begin() override {}
  void spawn(std::size_t step) override;
  std::vector<Attempt> wait(std::optional<Clock::time_point> next, bool* terminal) override;

 private:
  enum class Phase { noting, half, whole, end };
  enum class End { done, transient, permanent, needs_person, refused, broken_off, timed_out };
  struct Act {
    Phase phase = Phase::half;
    Clock::time_point at;  // when the phase is over
    bool waits = false;    // for its note to be on disk
    End end = End::done;
    Effect goal = Effect::whole;
  };

  End end_of(const Attempt& attempt);
  void step_on(std::size_t step, Act& act);
  void conclude(Attempt& attempt, const Act& act);
  void set(std::size_t step, const std::string& op, Effect effect);
  std::chrono::milliseconds some_time();

  SimulatedWorld& world_;
  std::map<std::size_t, Act> acts_;
};

}  // namespace relight
