// A run on this host: its folder, its locks, its marks on the targets, and the clock.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/engine/run_folder.h"
#include "runner/engine/targets.h"
#include "runner/engine/worker.h"
#include "runner/engine/world.h"

namespace relight {

class HostWorld : public World {
 public:
  HostWorld(RunFolder folder, const std::vector<const StepType*>& types, const WorkerHooks& hooks);

  const RunFolder& folder() const { return folder_; }
  void amend(const Frozen& frozen) { folder_.amend(frozen); }  // once the run is ours; DURABLE
  const std::vector<const StepType*>& types() const { return types_; }
  const WorkerHooks& hooks() const { return hooks_; }
  const HeldRun& held() const { return *held_; }  // after open()

  std::string run() const override;
  OpenedRun open() override;
  void take_targets(const std::vector<std::string>& targets) override;
  void changed() override;
  void need_unchanged_since(const std::vector<std::string>& targets) override;
  void release(const std::vector<std::string>& targets, bool undone) override;
  void free() override;
  void seal() override;
  std::unique_ptr<Flight> make_flight(Context& context) override;
  Clock::time_point now() const override;
  std::string wall() const override;
  std::int64_t boot_ms() const override;

 private:
  RunFolder folder_;
  const std::vector<const StepType*>& types_;
  const WorkerHooks& hooks_;
  std::optional<HeldRun> held_;
  Targets targets_;
};

}  // namespace relight
