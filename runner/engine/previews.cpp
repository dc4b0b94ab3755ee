#include "runner/engine/previews.h"

#include <fmt/format.h>
#include <poll.h>

#include <nlohmann/json.hpp>

#include "runner/engine/attempt.h"
#include "runner/engine/targets.h"
#include "runner/step/value.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {

namespace {

constexpr std::chrono::minutes patience{10};

// The steps that one worker previews: those of one user, in plan order.
struct Group {
  std::string as;
  std::vector<const PlannedStep*> steps;
};

Json request_for(const Group& group, const PreviewOptions& options) {
  Json steps = Json::array();
  for (const PlannedStep* step : group.steps)
    steps.push_back({{"step", step->name}, {"type", step->type}, {"params", *step->params}});
  return {{"op", "preview"},          {"run", options.run},     {"full", options.full},
          {"as", group.as},           {"asked", options.asked}, {"check_secrets", options.check_secrets},
          {"steps", std::move(steps)}};
}

// Takes the previews of a group as they come. Returns how many came before the worker ended or was silent for
// too long.
std::size_t take_previews(Attempt& attempt, const Group& group, bool full, PlanPreview& preview,
                          std::string& why) {
  std::size_t got = 0;
  for (;;) {
    pollfd watched{attempt.channel->fd(), POLLIN, 0};
    const int limit = full ? -1 : static_cast<int>(std::chrono::milliseconds(patience).count());
    if (poll(&watched, 1, limit) == 0) {
      why = "it did not end in " + sys::show_duration(patience);
      return got;
    }
    Json message;
    while (attempt.channel->take(message)) {
      if (message.contains("preview")) {
        preview.steps[group.steps[message["preview"][0].get<std::size_t>()]->name] =
            preview_from_json(message["preview"][1]);
        ++got;
      } else if (message.contains("error")) {
        const Error error = error_from_json(message["error"]);
        why = error.what();
      } else if (message.contains("result")) {
        return got;
      }
    }
    if (attempt.channel->closed()) {
      if (why.empty()) why = "its process broke off";
      return got;
    }
  }
}

// A user whom an earlier step makes is not there yet: nothing can be looked at as that user.
bool lacks_user(const Group& group, PlanPreview& preview) {
  try {
    if (!group.as.empty()) sys::user_named(group.as);
    return false;
  } catch (const Error&) {
    Preview later;
    later.verdict = Preview::Verdict::cannot_yet_tell;
    later.summary = "it runs as the user " + group.as + ", who is not there yet";
    for (const PlannedStep* step : group.steps) preview.steps[step->name] = later;
    return true;
  }
}

void preview_group(sys::Keeper& keeper, Group group, const PreviewOptions& options, PlanPreview& preview) {
  if (lacks_user(group, preview)) return;
  while (!group.steps.empty()) {
    Attempt attempt;
    spawn_worker(attempt, keeper, request_for(group, options), options.run + "/preview/1");
    std::string why;
    const std::size_t got = take_previews(attempt, group, options.full, preview, why);
    if (!why.empty()) keeper.end(attempt.id, std::chrono::seconds(1));
    if (got >= group.steps.size()) return;
    Preview failed;
    failed.verdict = Preview::Verdict::cannot_yet_tell;
    failed.summary = "the preview could not be made: " + why;
    preview.steps[group.steps[got]->name] = failed;
    group.steps.erase(group.steps.begin(), group.steps.begin() + static_cast<std::ptrdiff_t>(got) + 1);
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

PlanPreview preview_plan(const Plan& plan, const std::vector<const StepType*>& types,
                         const WorkerHooks& hooks, const PreviewOptions& options) {
  PlanPreview preview;
  std::vector<Group> groups;
  for (const PlannedStep& step : plan.steps) {
    if (step.step_type->make == nullptr) {
      Preview asks;
      asks.summary = step.params->value("prompt", "");
      preview.steps[step.name] = asks;
      continue;
    }
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.as == step.as; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{step.as, {}});
    group->steps.push_back(&step);
  }
  sys::Keeper keeper = sys::Keeper::start([&](int socket) { return serve_worker(socket, types, hooks); }, {});
  for (const Group& group : groups) preview_group(keeper, group, options, preview);
  sum_space(plan, preview);
  ask_targets(plan, options.run, preview);
  return preview;
}

}  // namespace relight
