// The crash matrix, with power: at every pass of a failpoint and at every record of the journal the disks of
// the target and of the state lose what was not synced, and every process is gone. SIGKILL alone cannot find
// a sync that is missing.
#include <doctest/doctest.h>

#include <cstdio>
#include <optional>

#include "runner/sys/error.h"
#include "tests/matrix/disks.h"
#include "tests/matrix/harness.h"
#include "tests/matrix/undisturbed.h"
#include "tests/support/skip.h"

using namespace relight;

namespace {

const Undisturbed* matrix() {
  if (!in_own_mounts()) return nullptr;
  static const Outside outside;
  static std::optional<Disks> disks;
  try {
    if (!disks) disks.emplace();
  } catch (const Error& error) {
    not_run_here(error.what());
    return nullptr;
  }
  static const Undisturbed one(outside, disks->place());
  return &one;
}

Crash power_cut(std::uint32_t at) {
  return {.kind = CrashFile::Kind::power,
          .at = at,
          .victims = CrashFile::relight | CrashFile::keeper | CrashFile::passer};
}

}  // namespace

TEST_CASE("a run whose power is cut is resumed to the same end, and rolled back to the first state") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "power cut, resumed, rolled back", 4, [&](Case& one, std::uint32_t at) {
    one.run(power_cut(at));
    all->done(one);
    all->undone(one);
  });
}

TEST_CASE("a run whose power is cut, and again while it is resumed, comes to the same end") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "power cut twice", 12, [&](Case& one, std::uint32_t at) {
    one.run(power_cut(at));
    one.resume(power_cut(1 + drawn("again " + std::to_string(at), 90)));
    all->done(one);
  });
}

TEST_CASE("a run that is killed, and whose power is cut while it is resumed, comes to the same end") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "killed, power cut", 12, [&](Case& one, std::uint32_t at) {
    one.run({.kind = CrashFile::Kind::kill, .at = at, .victims = CrashFile::relight | CrashFile::passer});
    one.resume(power_cut(1 + drawn("then " + std::to_string(at), 90)));
    all->done(one);
  });
}

TEST_CASE("a run whose power is cut is rolled back to the first state") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "power cut, rolled back", 12, [&](Case& one, std::uint32_t at) {
    one.run(power_cut(at));
    all->undone(one);
  });
  all->each(all->rollback, "rollback's power cut", 5, [&](Case& one, std::uint32_t at) {
    one.run();
    one.rollback(power_cut(at));
    all->undone(one);
  });
}
