// The previews of a plan: many answers in a message, and a preview that ends its worker or never ends.
#include "runner/engine/previews.h"
#include "runner/sys/json_whole.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <thread>

using namespace relight;

namespace {

// What a preview does is in its parameter.
class Look : public Step {
 public:
  Preview preview(const Params& params, Call& call) const override {
    const std::string does = params.text("does");
    if (does == "dies") _exit(3);
    if (does == "breaks off") throw std::runtime_error("a fault of the type");
    if (does == "is refused") throw Error(ErrorKind::refused, "cannot look", call.step(), "it is not there");
    if (does == "hangs")
      for (;;) pause();
    if (does == "prints") {
      const std::string line(1023, 'x');
      for (int i = 0; i < 1024; ++i) std::puts(line.c_str());
      std::fflush(stdout);
    }
    if (does == "takes long") std::this_thread::sleep_for(std::chrono::milliseconds(400));
    static int asked = 0;
    Preview preview;
    preview.summary =
        call.step() + call.once("how often", [] { return " asked " + std::to_string(++asked); });
    return preview;
  }
  Json apply(const Params&, Call&) const override { return nullptr; }
  std::string state_digest(const Params&, Call&) const override { return ""; }
};

const StepType& look_type() {
  static const StepType type = [] {
    StepType made;
    made.name = "test.look";
    made.fields = {{.name = "does",
                    .type = FieldType::text,
                    .required = true,
                    .fallback = "",
                    .doc = "",
                    .example = "",
                    .choices = {}}};
    made.make = make_step<Look>;
    return made;
  }();
  return type;
}

// Steps named 0, 1, 2 ... that look, but for those that are named here.
Plan plan_of(std::size_t count, const std::map<std::size_t, std::string>& others) {
  Plan plan;
  for (std::size_t i = 0; i < count; ++i) {
    PlannedStep step;
    step.name = std::to_string(i);
    step.type = look_type().name;
    step.step_type = &look_type();
    const auto other = others.find(i);
    step.params =
        std::make_shared<const Json>(Json{{"does", other == others.end() ? "looks" : other->second}});
    plan.steps.push_back(step);
  }
  return plan;
}

// The steps that were not previewed, with what is told of them.
std::map<std::size_t, std::string> told_of(const Plan& plan, const PlanPreview& preview) {
  REQUIRE(preview.steps.size() == plan.steps.size());
  std::map<std::size_t, std::string> told;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Preview& seen = preview.steps.at(plan.steps[i].name);
    if (seen.summary == std::to_string(i) + " asked 1") continue;
    told[i] = (seen.verdict == Preview::Verdict::cannot_yet_tell ? "" : "told already: ") + seen.summary;
  }
  return told;
}

using Told = std::map<std::size_t, std::string>;

}  // namespace

TEST_CASE("a preview that ends its worker is named, wherever it stands, and all others are made") {
  const Plan plan =
      plan_of(150, {{0, "dies"}, {70, "dies"}, {71, "dies"}, {90, "breaks off"}, {149, "dies"}});
  const std::string died = "the preview could not be made: its process broke off";
  CHECK(told_of(plan, preview_plan(plan, {})) ==
        Told{{0, died},
             {70, died},
             {71, died},
             {90, "the preview could not be made: the step broke off: 90: a fault of the type"},
             {149, died}});
}

TEST_CASE("a preview that does not end is named, and all others are made") {
  const Plan plan = plan_of(60, {{20, "hangs"}});
  PreviewOptions options;
  options.patience = std::chrono::seconds(2);
  CHECK(told_of(plan, preview_plan(plan, options)) ==
        Told{{20, "the preview could not be made: it did not end in 2.0s"}});
}

TEST_CASE("what previews print holds none of them up") {
  const Plan plan = plan_of(10, {{4, "prints"}, {7, "prints"}});
  CHECK(told_of(plan, preview_plan(plan, {})).empty());
}

TEST_CASE("patience is with each preview, not with all that travel in one message") {
  Told slow;
  for (std::size_t i = 0; i < 8; ++i) slow[i] = "takes long";
  const Plan plan = plan_of(10, slow);
  PreviewOptions options;
  options.patience = std::chrono::seconds(2);
  CHECK(told_of(plan, preview_plan(plan, options)).empty());
}

TEST_CASE("a refused preview is a problem of its step, and of no other") {
  const Plan plan = plan_of(40, {{33, "is refused"}});
  const PlanPreview preview = preview_plan(plan, {});
  for (const PlannedStep& step : plan.steps)
    CHECK(preview.steps.at(step.name).problems.size() == (step.name == "33" ? 1 : 0));
  CHECK(preview.refused());
}
