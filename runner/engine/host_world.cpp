#include "runner/engine/host_world.h"

#include <fmt/core.h>

#include "runner/engine/held.h"
#include "runner/engine/host_flight.h"
#include "runner/journal/reader.h"
#include "runner/sys/text.h"

namespace relight {

HostWorld::HostWorld(RunFolder folder, const std::vector<const StepType*>& types, const WorkerHooks& hooks)
    : folder_(std::move(folder)), types_(types), hooks_(hooks) {}

std::string HostWorld::run() const {
  return folder_.id();
}

OpenedRun HostWorld::open() {
  held_.emplace(hold_run(folder_));
  return open_run(folder_);
}

void HostWorld::take_targets(const std::vector<std::string>& targets) {
  const auto holder = targets_.take(targets, folder_.id(), folder_.state_folder());
  if (!holder) return;
  throw Held(ErrorKind::refused, "cannot take a target", holder->target,
             fmt::format("run {} of {} owns it", holder->run, holder->user), way_past(*holder));
}

void HostWorld::changed() {
  targets_.changed(folder_.id());
}

void HostWorld::need_unchanged_since(const std::vector<std::string>& targets) {
  const auto later = Targets::changed_since(targets, folder_.id());
  if (!later) return;
  throw Error(
      ErrorKind::refused, "cannot roll back", folder_.id(),
      fmt::format("run {} of {} has changed {} since", later->run, later->user, later->target),
      "roll that run back first: `relight --state " + later->state_folder + " rollback " + later->run + "`");
}

void HostWorld::release(const std::vector<std::string>& targets, bool undone) {
  std::vector<std::string> owned = targets;
  // An amendment may have left out a target that the run took at its start.
  if (folder_.was_amended())
    for (const TargetHolder& one : Targets::of(folder_.id())) owned.push_back(one.target);
  Targets::release(owned, folder_.id(), undone);
}

void HostWorld::free() {
  Targets::free(folder_.id());
}

void HostWorld::seal() {
  seal_journal(folder_.journal());
}

std::unique_ptr<Flight> HostWorld::make_flight(Context& context) {
  return std::make_unique<HostFlight>(*this, context);
}

Clock::time_point HostWorld::now() const {
  return Clock::now();
}

std::string HostWorld::wall() const {
  return sys::show_time(sys::now());
}

std::int64_t HostWorld::boot_ms() const {
  return sys::boot_time().count();
}

}  // namespace relight
