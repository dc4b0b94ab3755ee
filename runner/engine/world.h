// What a run stands on: its journal, its targets, the processes of its steps and the time. One is this host
// (host_world.h), another a simulation (runner/rehearse): the engine cannot tell them apart. One thread's.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runner/engine/opening.h"

namespace relight {

using Clock = std::chrono::steady_clock;

struct Context;
class Flight;

class World {
 public:
  virtual ~World() = default;

  virtual std::string run() const = 0;  // the run's id
  // The run is this process's from here on. Called once. Throws what open_run throws.
  virtual OpenedRun open() = 0;

  // All of them or none; throws Held.
  virtual void take_targets(const std::vector<std::string>& targets) = 0;
  virtual void changed() = 0;  // the first effect is about to begin: recorded with the targets. DURABLE
  // Throws a refused Error when a later run has changed one of them.
  virtual void need_unchanged_since(const std::vector<std::string>& targets) = 0;
  // Nothing more will come of the run: its targets are free.
  virtual void release(const std::vector<std::string>& targets, bool undone) = 0;
  virtual void free() = 0;  // nor can it be rolled back any more: its marks are of no use
  virtual void seal() = 0;  // the journal has ended. DURABLE

  virtual std::unique_ptr<Flight> make_flight(Context& context) = 0;

  virtual Clock::time_point now() const = 0;
  virtual std::string wall() const = 0;      // as records show it
  virtual std::int64_t boot_ms() const = 0;  // CLOCK_BOOTTIME
};

}  // namespace relight
