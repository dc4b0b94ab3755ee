// A world of its own for the engine: a disk in memory, steps that only pretend, a clock that jumps, and a
// crash where one is asked for. Everything that happens in it comes of one seed: the same seed is the same
// run.
//
// The simulation outlives its crashes: a SimulatedWorld is one process of relight, standing on what the
// processes before it left on the disk and in the steps' effects.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "runner/engine/world.h"
#include "runner/plan/plan.h"

namespace relight {

// Thrown where the simulated process dies, through whatever stands above: no std::exception, so that nobody
// takes it for an error.
struct Crashed {};

enum class Effect { none, half, whole };  // of a step, as seen from outside

// What happens, told to whoever watches for what must always hold.
struct Watcher {
  virtual ~Watcher() = default;
  virtual void durable(const std::string& /*line*/) {}  // a journal's line, synced or read back: once
  virtual void resumed(std::size_t /*records*/) {}      // a later process read so many records back
  virtual void began(std::size_t /*step*/, const std::string& /*op*/, std::size_t /*in_flight*/) {}
  virtual void changed(std::size_t /*step*/, const std::string& /*op*/, Effect /*now*/) {}
};

struct Chances {  // of an attempt, each from 0 to 1
  double transient = 0, permanent = 0, broken_off = 0, undo_fails = 0, note = 0.3, signal = 0;
};

struct SimulatedRun {
  SimulatedRun(std::uint64_t seed, const Plan& plan);

  double chance() { return std::uniform_real_distribution<double>(0, 1)(random); }
  std::size_t below(std::size_t end) { return random() % end; }

  RunRecord record() const;  // as a later process reads it from the disk

  const Plan& plan;
  std::mt19937_64 random;
  Chances chances;
  std::map<std::size_t, ErrorKind> fails;  // a step whose every apply ends so, on the way forward
  std::vector<char> can_tell;              // per step: its check says yes or no, not unknown
  Watcher* watcher = nullptr;

  // What is left over a crash.
  std::string disk;      // the journal's bytes
  std::size_t told = 0;  // of them to the watcher
  bool sealed = false;
  std::vector<Effect> effects;  // per step
  Clock::time_point now{};
  std::uint64_t happened = 0;  // things that a crash can come before or after, over all processes

  // The next crash: before the thing of that number happens. `power`: what was not synced may be lost, whole,
  // in part, or with holes of NULs in it; else it is there.
  std::optional<std::uint64_t> crash_at;
  bool power = false;
};

class SimulatedWorld : public World {
 public:
  explicit SimulatedWorld(SimulatedRun& simulation);
  ~SimulatedWorld() override;

  // Tells the watcher of every line that is on the disk for good.
  void tell_durable();
  // Everything that happens passes here; throws Crashed.
  void happens();
  bool crashed() const { return crashed_; }

  std::string run() const override { return "20261121-000000-simulated"; }
  OpenedRun open() override;
  void take_targets(const std::vector<std::string>&) override { happens(); }
  void changed() override { happens(); }
  void need_unchanged_since(const std::vector<std::string>&) override {}
  void release(const std::vector<std::string>&, bool) override { happens(); }
  void free() override { happens(); }
  void seal() override;
  std::unique_ptr<Flight> make_flight(Context& context) override;
  Clock::time_point now() const override { return simulation_.now; }
  std::string wall() const override;
  std::int64_t boot_ms() const override;

  SimulatedRun& simulation() { return simulation_; }

 private:
  friend class SimulatedJournal;
  SimulatedRun& simulation_;
  std::string unsynced_;  // written and not synced
  bool crashed_ = false;
};

}  // namespace relight
