#include "tests/support/simulated_plan.h"

#include "runner/lang/words.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

// Never called: the simulated world pretends.
class Nothing : public Step {
 public:
  Preview preview(const Params&, Call&) const override { return {}; }
  Json apply(const Params&, Call&) const override { return Json::object(); }
  std::string state_digest(const Params&, Call&) const override { return ""; }
};

const StepType& type_of(Undo undo) {
  const auto made = [](Undo kind) {
    StepType type;
    type.name = kind == Undo::whole ? "simulated.whole" : "simulated.none";
    type.undo = kind;
    type.make = make_step<Nothing>;
    return type;
  };
  static const StepType whole = made(Undo::whole), none = made(Undo::none);
  return undo == Undo::none ? none : whole;
}

}  // namespace

Plan simulated_plan(std::mt19937_64& random) {
  const auto one_in = [&](int n) { return random() % static_cast<unsigned>(n) == 0; };
  Plan plan;
  plan.runbook = "simulated";
  plan.inputs = std::make_shared<const Json>(Json::object());
  plan.digest = "simulated";
  if (one_in(3)) plan.on_failure = OnFailure::rollback;
  const std::size_t count = 1 + random() % 8;
  std::vector<std::string> fence;  // an approve, and what stands before it
  for (std::size_t i = 0; i < count; ++i) {
    PlannedStep step;
    step.name = "s" + std::to_string(i);
    step.params = std::make_shared<const Json>(Json::object());
    step.step_type = &type_of(one_in(12) ? Undo::none : Undo::whole);
    step.type = step.step_type->name;
    for (std::size_t before = 0; before < i; ++before)
      if (one_in(3)) step.after.push_back(plan.steps[before].name);
    step.attempts = 1 + static_cast<int>(random() % 3);
    step.backoff = std::chrono::milliseconds(10 + random() % 3000);
    if (one_in(6)) step.when = std::make_shared<const Json>(!one_in(3));
    if (one_in(10)) step.when = std::make_shared<const Json>(Json{{"$function", Json::object()}});
    step.in_doubt = static_cast<InDoubt>(random() % 3);
    if (step.in_doubt == InDoubt::undo && step.step_type->undo == Undo::none) step.in_doubt = InDoubt::ask;
    if (one_in(8)) step.on_failure = OnFailure::go_on;
    if (one_in(10)) {
      step.type = approve_type;
      step.step_type = &lang::approve_word();
      step.in_doubt.reset();
    }
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

}  // namespace relight
