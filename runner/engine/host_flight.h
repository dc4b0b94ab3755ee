// Attempts as programs and workers under the keeper: their messages, output, timeouts, and the signals.
#pragma once
#include <optional>
#include <vector>

#include "runner/engine/flight.h"
#include "runner/engine/host_world.h"
#include "runner/sys/keeper.h"

namespace relight {

class HostFlight : public Flight {
 public:
  HostFlight(const HostWorld& world, Context& context) : Flight(context), world_(world) {}

  void begin() override;
  std::size_t most() const override { return most_; }
  void spawn(std::size_t step) override;
  std::vector<Attempt> wait(std::optional<Clock::time_point> next, bool* terminal) override;
  void watch(std::size_t step) override;
  void end_watches() override;

 private:
  Json request_for(const Attempt& attempt);
  std::optional<Child> child_of(const Attempt& attempt);
  void learn_secrets();
  void see_how_many();
  void take_messages(Attempt& attempt);
  void take_message(Attempt& attempt, const Json& message);
  Json launch(const Json& wanted);
  void take_watched();
  void take_signals();
  void take_keeper_events();
  void mind_the_clock();
  void end_attempt(Attempt& attempt);

  const HostWorld& world_;
  sys::Fd signals_;
  std::size_t most_ = SIZE_MAX;
  std::map<std::size_t, Attempt> watching_;
  std::optional<sys::Keeper> keeper_;
};

}  // namespace relight
