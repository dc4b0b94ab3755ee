#include "runner/rehearse/rehearsal.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "runner/engine/abandon.h"
#include "runner/engine/engine.h"
#include "runner/engine/scheduler.h"
#include "runner/journal/reader.h"
#include "runner/rehearse/simulated_world.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

struct Ended {
  std::optional<int> exit;  // nothing: killed
  RunRecord record;
};

class Rehearsing {
 public:
  Rehearsing(const Plan& plan, std::uint64_t seed) : plan_(plan), seed_(seed) {}

  Rehearsal all() {
    forward();
    if (rehearsal_.findings.empty() || only_person_findings()) backward();
    failures();
    proofs();
    return std::move(rehearsal_);
  }

 private:
  struct One {  // a run, over all its processes
    One(const Rehearsing& all, const Plan& plan) : simulation(all.seed_, plan) {
      simulation.chances.note = 0.5;
      const Secrets none;
      for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const PlannedStep& step = plan.steps[i];
        if (const auto real = step.step_type->make ? step.step_type->make() : nullptr)
          simulation.can_tell[i] = real->can_tell(Params(step.step_type->fields, *step.params, none));
      }
    }
    SimulatedRun simulation;
  };

  Ended process(One& one, bool back = false) const {
    // As the commands do it: a run that has ended is not gone on with.
    if (const RunRecord past = one.simulation.record();
        has_ended(past.state) && !(back && past.state == RunRecord::State::done))
      return {past.exit_code, past};
    SimulatedWorld world(one.simulation);
    Events nobody;
    EngineOptions options;
    for (const PlannedStep& step : plan_.steps) options.approvals.insert(step.name);
    try {
      Engine engine(world, plan_, nobody, std::move(options));
      const int exit = back ? engine.rollback("") : engine.run();
      return {exit, engine.record()};
    } catch (const Crashed&) {
      return {};
    }
  }

  static bool came_back(const Ended& ended) {
    return ended.exit == exit_done || ended.exit == exit_over_budget;
  }

  struct When {
    std::string text;
    std::size_t record = 0;
  };

  // What a later process finds last in the journal.
  static When killed(const One& one) {
    const auto records = read_journal_text(one.simulation.disk, "the simulated journal").records;
    if (records.empty()) return {"killed before the first record", 0};
    std::string said = records.back().at("kind");
    if (records.back().contains("step")) said += " " + records.back()["step"].get<std::string>();
    return {"killed after record " + std::to_string(records.size()) + " (" + said + ")", records.size()};
  }

  void found(Finding finding) {
    if (told_.insert(finding.step + "/" + finding.what).second)
      rehearsal_.findings.push_back(std::move(finding));
  }

  bool only_person_findings() const {
    return std::all_of(rehearsal_.findings.begin(), rehearsal_.findings.end(),
                       [](const Finding& finding) { return !finding.step.empty(); });
  }

  // Why it did not come back, from what the record says.
  void blame(const When& when, const Ended& ended) {
    bool named = false;
    for (const PlannedStep& step : plan_.steps) {
      const StepRecord& past = ended.record.step(step.name);
      if (past.state == StepRecord::State::in_doubt && !ended.record.in_rollback) {
        found({when.text, when.record, step.name,
               "it is in doubt, and resume stops to ask: nothing tells whether it was done",
               "say how it can be told (`creates`, `check`), or that it may be done twice (in_doubt = "
               "\"again\")"});
        named = true;
      } else if (ended.record.in_rollback && past.touched) {
        found({when.text, when.record, step.name, "it cannot be taken back: a rollback leaves it as it is",
               "give it an `undo`, or let nothing that can fail come after it"});
        named = true;
      }
    }
    if (!named)
      found({when.text, when.record, "",
             "it ends " + (ended.exit ? "with exit " + std::to_string(*ended.exit) : std::string("nowhere")),
             "`relight plan` says more of its steps"});
  }

  // Killed at every happening of the run, and once more, at a point drawn by the seed, in the resume.
  void forward() {
    One whole(*this, plan_);
    const Ended ended = process(whole);
    rehearsal_.records = killed(whole).record;
    run_happenings_ = whole.simulation.happened;
    if (!came_back(ended)) return blame({"in a run without a fault"}, ended);
    for (std::uint64_t kill = 0; kill < run_happenings_; ++kill) {
      for (const bool twice : {false, true}) {
        One one(*this, plan_);
        one.simulation.crash_at = kill;
        one.simulation.power = kill % 2 == 1;
        process(one);
        const When when = killed(one);
        ++(twice ? rehearsal_.resume_kills : rehearsal_.run_kills);
        if (twice) {
          one.simulation.crash_at =
              one.simulation.happened + one.simulation.below(run_happenings_ - kill + 8);
          process(one);
          one.simulation.crash_at.reset();
        }
        const Ended end = process(one);
        if (!came_back(end) || !all_there(one)) blame(when, end);
      }
    }
  }

  // No rollback of all is asked for where it would pass a point of no return.
  void backward() {
    if (std::any_of(plan_.steps.begin(), plan_.steps.end(),
                    [](const PlannedStep& step) { return !step.no_return.empty(); }))
      return;
    One whole(*this, plan_);
    process(whole);
    const std::uint64_t from = whole.simulation.happened;
    const Ended ended = process(whole, true);
    const std::uint64_t to = whole.simulation.happened;
    if (!came_back(ended)) return blame({"in a rollback"}, ended);
    for (std::uint64_t kill = from; kill < to; ++kill) {
      One one(*this, plan_);
      process(one);
      one.simulation.crash_at = kill;
      process(one, true);
      const When when = killed(one);
      ++rehearsal_.rollback_kills;
      // Before its record the rollback was never asked for: the operator asks again.
      Ended end = process(one);
      if (end.record.state == RunRecord::State::done) end = process(one, true);
      if (!came_back(end) || !nothing_there(one)) blame({when.text + " in a rollback", when.record}, end);
    }
  }

  // Every step in turn fails for good; then the run is rolled back.
  void failures() {
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      if (plan_.steps[i].type == approve_type) continue;
      if (plan_.steps[i].on_failure.value_or(plan_.on_failure) == OnFailure::go_on) continue;
      One one(*this, plan_);
      one.simulation.fails[i] = ErrorKind::permanent;
      Ended end = process(one);
      ++rehearsal_.failures;
      if (end.record.step(plan_.steps[i].name).state == StepRecord::State::pending) continue;  // never begun
      if (end.exit == exit_failed && point_of_no_return(plan_, end.record)) continue;  // it is resumed
      if (end.exit == exit_failed) end = process(one, true);
      if (end.exit == exit_rolled_back || (came_back(end) && nothing_there(one))) continue;
      blame({"when " + plan_.steps[i].name + " fails"}, end);
    }
  }

  // A rollback that no probe follows tells nobody whether the old state works.
  void proofs() {
    const bool proved = std::any_of(plan_.steps.begin(), plan_.steps.end(),
                                    [](const PlannedStep& step) { return step.proves == "both"; });
    if (!proved)
      found({"", 0, "", "no probe follows a rollback: whether the old state works is not known",
             "give a probe proves = \"both\": it is measured before the run and after a rollback"});
  }

  static bool all_there(const One& one) {
    for (std::size_t i = 0; i < one.simulation.plan.steps.size(); ++i)
      if (one.simulation.effects[i] == Effect::half) return false;
    return true;
  }
  // A probe is asked again after a rollback; it leaves nothing.
  static bool nothing_there(const One& one) {
    for (std::size_t i = 0; i < one.simulation.plan.steps.size(); ++i)
      if (!one.simulation.plan.steps[i].step_type->is_probe && one.simulation.effects[i] != Effect::none)
        return false;
    return true;
  }

  const Plan& plan_;
  std::uint64_t seed_;
  std::uint64_t run_happenings_ = 0;
  std::set<std::string> told_;
  Rehearsal rehearsal_;
};

}  // namespace

Rehearsal rehearse(const Plan& plan, std::uint64_t seed) {
  return Rehearsing(plan, seed).all();
}

}  // namespace relight
