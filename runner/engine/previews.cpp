#include "runner/engine/previews.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>

#include "runner/engine/attempt.h"
#include "runner/engine/preview_worker.h"
#include "runner/engine/targets.h"
#include "runner/engine/worker.h"
#include "runner/step/value.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {

namespace {

// The steps that one worker previews: those of one user, in plan order.
struct Group {
  std::string as;
  std::vector<std::size_t> steps;  // in the plan
};

std::vector<Group> by_user(const Plan& plan, const std::vector<std::size_t>& steps) {
  std::vector<Group> groups;
  for (const std::size_t i : steps) {
    const std::string& as = plan.steps[i].as;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.as == as; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{as, {}});
    group->steps.push_back(i);
  }
  return groups;
}

// What previews a plan with one keeper.
class Previewing {
 public:
  Previewing(const Plan& plan, const PreviewOptions& options, PlanPreview& preview)
      : plan_(plan),
        options_(options),
        preview_(preview),
        keeper_(
            sys::Keeper::start([this](int socket) { return serve_previews(socket, plan_, options_, mark_); },
                               {}, {}, sys::Launcher::none)) {}

  void preview(Group group) {
    while (!group.steps.empty()) {
      mark_.set(group.steps.front());
      Attempt attempt;
      spawn_worker(attempt, keeper_, {{"as", group.as}, {"steps", group.steps}}, options_.run + "/preview/1");
      const std::string why = take_previews(attempt);
      if (!why.empty()) keeper_.end(attempt.id, std::chrono::seconds(1));
      // What was made and not yet sent is made again.
      std::erase_if(group.steps, [this](std::size_t step) { return has(step); });
      if (group.steps.empty()) return;
      const std::size_t at = has(mark_.step()) ? group.steps.front() : mark_.step();
      Preview failed;
      failed.verdict = Preview::Verdict::cannot_yet_tell;
      failed.summary = "the preview could not be made: " + why;
      preview_.steps[plan_.steps[at].name] = failed;
      std::erase(group.steps, at);
    }
  }

 private:
  bool has(std::size_t step) const { return preview_.steps.count(plan_.steps[step].name) > 0; }

  // Takes the previews as they come. Returns why the worker ended before all were made; empty: all were.
  std::string take_previews(Attempt& attempt) {
    std::string why;
    const int limit = options_.full ? -1 : static_cast<int>(options_.patience.count());
    for (;;) {
      pollfd watched{attempt.channel->fd(), POLLIN, 0};
      if (poll(&watched, 1, limit) == 0) return "it did not end in " + sys::show_duration(options_.patience);
      Json message;
      while (attempt.channel->take(message)) {
        if (message.contains("previews"))
          for (const Json& made : message["previews"])
            preview_.steps[plan_.steps.at(made[0].get<std::size_t>()).name] = preview_from_json(made[1]);
        else if (message.contains("error"))
          why = error_from_json(message["error"]).what();
        else if (message.contains("result"))
          return "";
      }
      if (attempt.channel->closed()) return why.empty() ? "its process broke off" : why;
    }
  }

  const Plan& plan_;
  const PreviewOptions& options_;
  PlanPreview& preview_;
  PreviewMark mark_;
  sys::Keeper keeper_;
};

// A user whom an earlier step makes is not there yet: nothing can be looked at as that user.
bool lacks_user(const Group& group, const Plan& plan, PlanPreview& preview) {
  try {
    if (!group.as.empty()) sys::user_named(group.as);
    return false;
  } catch (const Error&) {
    Preview later;
    later.verdict = Preview::Verdict::cannot_yet_tell;
    later.summary = "it runs as the user " + group.as + ", who is not there yet";
    for (const std::size_t step : group.steps) preview.steps[plan.steps[step].name] = later;
    return true;
  }
}

// What each step needs may be there for each alone and not for all of them.
void sum_space(const Plan& plan, PlanPreview& preview) {
  struct Need {
    std::uint64_t bytes = 0;
    std::string path;
    std::vector<std::string> steps;
  };
  std::map<std::uint64_t, Need> needs;
  for (const PlannedStep& step : plan.steps) {
    for (const auto& [path, bytes] : preview.steps[step.name].space) {
      Need& need = needs[sys::device_of(path)];
      need.bytes += bytes;
      if (need.path.empty()) need.path = path;
      need.steps.push_back(step.name);
    }
  }
  for (const auto& [device, need] : needs) {
    const std::uint64_t free = sys::free_bytes(need.path);
    if (need.bytes <= free) continue;
    preview.problems.push_back({"too little disk space", need.path,
                                fmt::format("{} needed by {}, {} free", sys::show_size(need.bytes),
                                            sys::join(need.steps, ", "), sys::show_size(free)),
                                "free some, or put the targets on a larger file system"});
  }
}

void ask_targets(const Plan& plan, const std::string& run, PlanPreview& preview) {
  const Secrets none;
  for (const PlannedStep& step : plan.steps) {
    if (step.step_type->make == nullptr) continue;
    const auto targets = step.step_type->make()->targets(Params(step.step_type->fields, *step.params, none));
    const auto holder = Targets::held(targets, run);
    if (!holder) continue;
    preview.steps[step.name].problems.push_back(
        {"cannot take the target", holder->target,
         fmt::format("run {} of {} owns it", holder->run, holder->user), way_past(*holder)});
    ++preview.held;
  }
}

}  // namespace

bool PlanPreview::refused() const {
  if (!problems.empty()) return true;
  for (const auto& [name, step] : steps)
    if (!step.problems.empty()) return true;
  return false;
}

bool PlanPreview::only_held() const {
  std::size_t all = problems.size();
  for (const auto& [name, step] : steps) all += step.problems.size();
  return held > 0 && held == all;
}

std::unordered_map<std::string, Preview> preview_undo(const Plan& plan, const RunRecord& record,
                                                      const std::vector<std::size_t>& steps,
                                                      const std::map<std::string, std::string>& asked) {
  PreviewOptions options;
  options.run = record.run;
  options.check_secrets = true;
  options.asked = asked;
  options.undo_of = &record;
  PlanPreview preview;
  Previewing previewing(plan, options, preview);
  for (const Group& group : by_user(plan, steps))
    if (!lacks_user(group, plan, preview)) previewing.preview(group);
  return std::move(preview.steps);
}

PlanPreview preview_plan(const Plan& plan, const PreviewOptions& options) {
  PlanPreview preview;
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    if (step.step_type->make == nullptr)
      preview.steps[step.name].summary = step.params->value("prompt", "");
    else
      all.push_back(i);
  }
  Previewing previewing(plan, options, preview);
  for (const Group& group : by_user(plan, all))
    if (!lacks_user(group, plan, preview)) previewing.preview(group);
  sum_space(plan, preview);
  ask_targets(plan, options.run, preview);
  return preview;
}

}  // namespace relight
