// The engine: goes on with a run until it is done, failed, waiting, interrupted or rolled back.
//
// One thread, one loop: decide what may begin, write what is to be recorded as one batch, sync, and only then
// begin it; wait for what comes. That is where the order of journal and effect is written, and
// nowhere else. The record of the run is the fold of what was written, kept up as it is written.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runner/engine/events.h"
#include "runner/engine/held.h"
#include "runner/engine/recovery.h"
#include "runner/engine/world.h"
#include "runner/plan/plan.h"

namespace relight {

// Exit codes, as the README lists them.
enum Exit {
  exit_done = 0,
  exit_failed = 1,
  exit_refused = 2,
  exit_rolled_back = 3,
  exit_needs_person = 4,
  exit_held = 5,
  exit_waiting = 6,
  exit_over_budget = 7,
  exit_interrupted = 130,
};

struct EngineOptions {
  int jobs = 4;
  std::set<std::string> approvals;           // --approve
  std::set<std::string> again, done;         // --again, --done: what a person says of steps in doubt
  std::map<std::string, std::string> skip;   // --skip STEP --because TEXT
  std::map<std::string, std::string> asked;  // secrets that were typed
  std::set<std::string> preview_first;       // steps whose preview could not tell yet
  std::shared_ptr<const Json> amended;       // the body of an `amended` record, written first
  std::function<void()> amend;               // freezes what it names, once the run is ours
};

class Engine {
 public:
  // Opens the run in its world, which must outlive the engine: throws what World::open throws.
  Engine(World& world, Plan plan, Events& events, EngineOptions options);
  ~Engine();

  // Starts the run or goes on with it (in a rollback too). The answer is the exit code.
  int run();
  // Undoes the touched steps behind `to` ("": all).
  int rollback(const std::string& to);
  // Frees what the run keeps: `relight keep --drop`.
  int discard();

  const RunRecord& record() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight
