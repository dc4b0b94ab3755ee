// The engine, its scheduler and its journal in a simulated world: random plans, failures, signals, crashes
// and power cuts, each from one seed. After everything that happens it is asked what must always hold.
//
// RELIGHT_SEED=N runs that seed alone and prints what happened in it.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "runner/engine/abandon.h"
#include "runner/engine/engine.h"
#include "runner/engine/scheduler.h"
#include "runner/journal/reader.h"
#include "runner/rehearse/simulated_world.h"
#include "runner/sys/json_whole.h"
#include "tests/support/share.h"
#include "tests/support/simulated_plan.h"

using namespace relight;

namespace {

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What must always hold, followed by means of its own: nothing here folds a journal as the engine does.
class Laws : public Watcher {
 public:
  Laws(const SimulatedRun& simulation, bool tell)
      : simulation_(simulation), plan_(simulation.plan), tell_(tell) {
    steps_.resize(plan_.steps.size());
  }

  void durable(const std::string& line) override {
    const Json record = Json::parse(line);
    const std::string kind = record.at("kind");
    say("durable " + kind + " " + record.value("step", "") + " " + record.value("op", ""));
    ++records_;
    if (kind == "rolling_back") back_ = true;
    if (kind == "resumed") {
      failed_ = false;
      for (Seen& seen : steps_) seen.settled = seen.in_flight = false;
    }
    if (!record.contains("step")) return;
    const std::size_t i = plan_.index_of(record["step"]);
    Seen& seen = steps_[i];
    if (kind == "started") {
      seen.started = record["op"];
      seen.touched = seen.touched || seen.started == "apply";
    } else if (kind == "finished") {
      must(record["by"] == "person" || simulation_.effects[i] == Effect::whole,
           "recorded as finished, and not done", i);
      end(seen);
      seen.settled_for_good = true;
    } else if (kind == "skipped") {
      seen.settled_for_good = true;
    } else if (kind == "undone") {
      must(simulation_.effects[i] == Effect::none, "recorded as undone, and still there", i);
      end(seen);
      seen.touched = seen.settled_for_good = false;
    } else if (kind == "failed") {
      end(seen);
      if (record["op"] == "undo" || record["again"] == true) return;
      seen.settled_for_good = policy(i) == OnFailure::go_on;
      failed_ = failed_ || !seen.settled_for_good;
    } else if (kind == "settled") {
      seen.settled = true;
    }
  }

  void resumed(std::size_t records) override {
    say("a process reads " + std::to_string(records) + " records");
    must(records == records_, "a durable record was dropped", 0);
    for (Seen& seen : steps_) {
      seen.doubtful = !seen.started.empty();
      seen.in_flight = seen.settled = false;
    }
  }

  void began(std::size_t i, const std::string& op, std::size_t in_flight) override {
    say("begins " + op + " of " + plan_.steps[i].name);
    Seen& seen = steps_[i];
    must(in_flight <= 3, "more in flight than jobs", i);
    must(!seen.in_flight, "two attempts of one step in flight", i);
    if (op != "apply" && op != "undo") return;
    must(seen.started == op, "begun before its record was on disk", i);
    must(!seen.doubtful || seen.settled || op == "undo", "begun in doubt, without settling first", i);
    seen.doubtful = false;
    seen.in_flight = true;
    if (op == "apply") {
      must(!back_, "an apply in a rollback", i);
      must(!failed_, "begun after a failure", i);
      must(!seen.settled_for_good, "done twice", i);
      for (const std::string& before : plan_.steps[i].after)
        must(steps_[plan_.index_of(before)].settled_for_good, "begun before " + before, i);
    } else {
      must(seen.touched, "an undo of what was never applied", i);
      if (!back_) return;  // in doubt: undone, to be applied afresh
      must(in_flight == 1, "an undo beside something else", i);
      for (std::size_t later = i + 1; later < steps_.size(); ++later)
        must(!steps_[later].touched || plan_.steps[later].step_type->undo == Undo::none,
             "undone before a later step was", i);
    }
  }

  void changed(std::size_t i, const std::string& op, Effect) override {
    must(steps_[i].in_flight && steps_[i].started == op, "an effect of nothing that was recorded", i);
  }

 private:
  struct Seen {
    std::string started;  // the op of a started that has no end yet
    bool touched = false, settled_for_good = false, in_flight = false, doubtful = false, settled = false;
  };

  OnFailure policy(std::size_t i) const { return plan_.steps[i].on_failure.value_or(plan_.on_failure); }
  static void end(Seen& seen) {
    seen.started.clear();
    seen.in_flight = seen.doubtful = false;
  }
  void must(bool holds, const std::string& what, std::size_t i) const {
    if (!holds) throw Broken(plan_.steps[i].name + ": " + what);
  }
  void say(const std::string& what) const {
    if (tell_) std::printf("%6llu %s\n", static_cast<unsigned long long>(simulation_.happened), what.c_str());
  }

  const SimulatedRun& simulation_;
  const Plan& plan_;
  bool tell_;
  std::vector<Seen> steps_;
  std::size_t records_ = 0;
  bool failed_ = false, back_ = false;
};

struct Tally {
  int processes = 0, crashes = 0, done = 0, rolled_back = 0, asked = 0;
};

// One process of relight: what it ended with; -1: it crashed. As the commands do it: a run that has ended is
// not gone on with, its end is finished.
int process(SimulatedRun& simulation, const std::function<int(Engine&)>& action, EngineOptions options,
            RunRecord* record, bool back = false) {
  *record = simulation.record();
  if (has_ended(record->state) && !(back && record->state == RunRecord::State::done)) {
    simulation.disk.resize(read_journal_text(simulation.disk, "journal").valid_bytes);
    simulation.sealed = true;
    return record->exit_code;
  }
  SimulatedWorld world(simulation);
  Events nobody;
  options.jobs = 3;
  try {
    Engine engine(world, simulation.plan, nobody, std::move(options));
    const int exit = action(engine);
    *record = engine.record();
    return exit;
  } catch (const Crashed&) {
    return -1;
  }
}

// From the start to an end, however often it dies on the way. Throws Broken.
void live(std::uint64_t seed, bool tell, Tally& tally) {
  std::mt19937_64 random(seed * 2 + 1);
  const Plan plan = simulated_plan(random);
  SimulatedRun simulation(seed, plan);
  for (char& one : simulation.can_tell) one = random() % 2 == 0;
  if (random() % 2 == 0)
    simulation.chances = {0.2, random() % 3 == 0 ? 0.1 : 0, 0.05, random() % 4 == 0 ? 0.3 : 0, 0.3, 0.02};
  Laws laws(simulation, tell);
  simulation.watcher = &laws;

  const bool wants_back = random() % 2 == 0;
  bool back = false;
  int unlucky = 6;  // then nothing goes wrong any more, and an end must come
  EngineOptions options;
  for (int turn = 0; turn < 60; ++turn) {
    if (unlucky > 0) {
      simulation.crash_at = simulation.happened + 1 + random() % (40 + 10 * plan.steps.size());
      simulation.power = random() % 2 == 0;
      --unlucky;
    } else {
      simulation.crash_at.reset();
      simulation.chances = {};
    }
    ++tally.processes;
    RunRecord record;
    const int exit = process(
        simulation, [&](Engine& engine) { return back ? engine.rollback("") : engine.run(); }, options,
        &record, back);
    if (tell) std::printf("       the process ended: %d\n", exit);
    options = EngineOptions();
    back = false;
    if (exit == -1) {
      ++tally.crashes;
      continue;
    }
    // What the process believes is what a later one reads.
    const JournalRead read = read_journal_text(simulation.disk, "journal");
    if (read.torn) throw Broken("a journal that was closed is torn");
    const RunRecord later = fold(read.records, false);
    for (const PlannedStep& step : plan.steps)
      if (later.step(step.name).state != record.step(step.name).state &&
          record.step(step.name).state != StepRecord::State::running)
        throw Broken(step.name + ": " + name_of(record.step(step.name).state) + " in memory, " +
                     name_of(later.step(step.name).state) + " on disk");
    switch (exit) {
      case exit_done:
      case exit_over_budget:
        if (record.state == RunRecord::State::rolled_back) break;
        for (std::size_t i = 0; i < plan.steps.size(); ++i) {
          const auto state = record.step(plan.steps[i].name).state;
          if (state == StepRecord::State::done && plan.steps[i].type != approve_type &&
              simulation.effects[i] != Effect::whole)
            throw Broken(plan.steps[i].name + ": done, and its effect is not there");
        }
        ++tally.done;
        if (!simulation.sealed) throw Broken("an ended journal is not sealed");
        if (!wants_back) return;
        back = true;
        continue;
      case exit_rolled_back:
        break;
      case exit_waiting:
        for (const PlannedStep& step : plan.steps) options.approvals.insert(step.name);
        continue;
      case exit_needs_person:
        ++tally.asked;
        if (record.in_rollback) {
          // What cannot be undone is put back by hand.
          for (const std::size_t i : rollback_order(plan, record, record.rollback_to))
            if (plan.steps[i].step_type->undo == Undo::none) {
              simulation.effects[i] = Effect::none;
              options.done.insert(plan.steps[i].name);
            }
          continue;
        }
        for (std::size_t i = 0; i < plan.steps.size(); ++i) {
          if (record.step(plan.steps[i].name).state != StepRecord::State::in_doubt) continue;
          if (simulation.effects[i] == Effect::whole)
            options.done.insert(plan.steps[i].name);
          else
            options.again.insert(plan.steps[i].name);
        }
        continue;
      case exit_failed:
        back = random() % 3 == 0 && record.state != RunRecord::State::rolling_back;
        continue;
      case exit_interrupted:
        continue;
      default:
        throw Broken("an exit that nobody knows: " + std::to_string(exit));
    }
    for (std::size_t i = 0; i < plan.steps.size(); ++i)
      if (simulation.effects[i] != Effect::none)
        throw Broken(plan.steps[i].name + ": rolled back, and its effect is still there");
    ++tally.rolled_back;
    return;
  }
  throw Broken("no end came");
}

}  // namespace

TEST_CASE("whatever fails and wherever it dies, the laws hold and an end comes") {
  const char* const asked = std::getenv("RELIGHT_SEED");
  const std::uint64_t first = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 1;
  const std::uint64_t last = asked != nullptr ? first : 100'000 / test_part();
  Tally tally;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    try {
      live(seed, asked != nullptr, tally);
    } catch (const std::exception& broken) {
      FAIL("seed " << seed << ": " << std::string(broken.what()) << " (RELIGHT_SEED=" << seed
                   << " replays it)");
    }
  }
  MESSAGE((last - first + 1) << " seeds: " << tally.processes << " processes, " << tally.crashes
                             << " crashes, " << tally.done << " done, " << tally.rolled_back
                             << " rolled back, " << tally.asked << " asked a person");
}

TEST_CASE("the same seed is the same run") {
  const auto disk_of = [](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const Plan plan = simulated_plan(random);
    SimulatedRun simulation(seed, plan);
    RunRecord record;
    EngineOptions options;
    for (const PlannedStep& step : plan.steps) options.approvals.insert(step.name);
    process(
        simulation, [](Engine& engine) { return engine.run(); }, options, &record);
    return simulation.disk;
  };
  for (std::uint64_t seed = 1; seed < 20; ++seed) CHECK(disk_of(seed) == disk_of(seed));
}
