#include "runner/rehearse/simulated_world.h"

#include "runner/journal/reader.h"
#include "runner/rehearse/simulated_flight.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

SimulatedRun::SimulatedRun(std::uint64_t seed, const Plan& the_plan)
    : plan(the_plan),
      random(seed),
      can_tell(the_plan.steps.size(), 0),
      effects(the_plan.steps.size(), Effect::none) {}

RunRecord SimulatedRun::record() const {
  return fold(read_journal_text(disk, "the simulated journal").records, false);
}

class SimulatedJournal : public JournalFile {
 public:
  explicit SimulatedJournal(SimulatedWorld& world) : world_(world) {}

  void append(std::string_view bytes) override {
    world_.happens();
    world_.unsynced_ += bytes;
  }
  void sync() override {
    world_.happens();
    world_.simulation_.disk += std::exchange(world_.unsynced_, {});
    world_.tell_durable();
  }
  void reserve(std::uint64_t) override { world_.happens(); }

 private:
  SimulatedWorld& world_;
};

SimulatedWorld::SimulatedWorld(SimulatedRun& simulation) : simulation_(simulation) {}

// What was written and not synced: of a killed process all of it is there. A power cut leaves any part of it,
// whole or with a sector that was never written.
SimulatedWorld::~SimulatedWorld() {
  std::string rest = std::exchange(unsynced_, {});
  if (simulation_.power && !rest.empty()) {
    rest.resize(simulation_.below(rest.size() + 1));
    constexpr std::size_t sector = 512;
    if (rest.size() > sector && simulation_.chance() < 0.5) {
      const std::size_t hole = simulation_.below(rest.size() / sector) * sector;
      rest.replace(hole, sector, sector, '\0');
    }
  }
  simulation_.disk += rest;
}

void SimulatedWorld::tell_durable() {
  std::size_t& at = simulation_.told;
  while (at < simulation_.disk.size()) {
    const std::size_t end = simulation_.disk.find('\n', at);
    if (simulation_.watcher != nullptr) simulation_.watcher->durable(simulation_.disk.substr(at, end - at));
    at = end + 1;
  }
}

void SimulatedWorld::happens() {
  if (crashed_) throw Crashed();
  if (simulation_.crash_at && simulation_.happened >= *simulation_.crash_at) {
    simulation_.crash_at.reset();
    crashed_ = true;
    throw Crashed();
  }
  ++simulation_.happened;
}

OpenedRun SimulatedWorld::open() {
  OpenedRun opened;
  const JournalRead read = read_journal_text(simulation_.disk, "the simulated journal");
  opened.record = fold(read.records, false);
  simulation_.disk.resize(read.valid_bytes);
  tell_durable();
  if (simulation_.watcher != nullptr) simulation_.watcher->resumed(read.records.size());
  simulation_.sealed = false;
  opened.is_new = read.records.empty();
  opened.journal = std::make_unique<JournalWriter>(std::make_unique<SimulatedJournal>(*this), read.end);
  return opened;
}

void SimulatedWorld::seal() {
  happens();
  simulation_.sealed = true;
}

std::unique_ptr<Flight> SimulatedWorld::make_flight(Context& context) {
  return std::make_unique<SimulatedFlight>(*this, context);
}

std::string SimulatedWorld::wall() const {
  constexpr std::int64_t start = 1'795'219'200;  // 2026-11-21
  using std::chrono::duration_cast;
  return sys::show_time(sys::Time(
      duration_cast<sys::Time::duration>(std::chrono::seconds(start) + simulation_.now.time_since_epoch())));
}

std::int64_t SimulatedWorld::boot_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(simulation_.now.time_since_epoch()).count();
}

}  // namespace relight
