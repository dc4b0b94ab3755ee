// The crash matrix: killed at every pass of a failpoint and at every record of the journal, in a run, in its
// resume and in its rollback; and gone on with.
#include <doctest/doctest.h>

#include <cerrno>

#include "tests/matrix/harness.h"
#include "tests/matrix/undisturbed.h"

using namespace relight;

namespace {

constexpr auto with_keeper = CrashFile::relight | CrashFile::keeper;

const Undisturbed* matrix() {
  if (!in_own_mounts()) return nullptr;
  static const Outside outside;
  static const sys::TempFolder folder;
  static const Undisturbed one(outside, {folder.path() + "/world", folder.path() + "/state"});
  return &one;
}

// Of relight alone, which its keeper outlives; of both; and of the process at work, too.
Crash killed(std::uint32_t at) {
  constexpr std::uint32_t victims[] = {CrashFile::relight, with_keeper, with_keeper | CrashFile::passer};
  return {
      .kind = CrashFile::Kind::kill, .at = at, .victims = victims[drawn("victims " + std::to_string(at), 3)]};
}

// Somewhere in what a resume or a rollback does.
Crash killed_again(std::uint32_t at, std::uint32_t below) {
  return killed(1 + drawn("again " + std::to_string(at), below));
}

Crash failed(std::uint32_t at) {
  constexpr int errors[] = {ENOSPC, EIO, EACCES, EMFILE};
  return {.kind = CrashFile::Kind::fail, .at = at, .error_number = errors[at % 4]};
}

bool can_fail(const Pass& pass) {
  return pass.can_fail;
}

}  // namespace

TEST_CASE("a run that is killed is resumed to the same end, and rolled back to the first state") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "killed, resumed, rolled back", 5, [&](Case& one, std::uint32_t at) {
    one.run(killed(at));
    all->done(one);
    all->undone(one);
  });
}

TEST_CASE("a run that is killed is rolled back to the first state") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "killed, rolled back", 6, [&](Case& one, std::uint32_t at) {
    one.run(killed(at));
    all->undone(one);
  });
}

TEST_CASE("a run that is killed, and killed again while it is resumed, comes to the same end") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->run, "killed twice", 5, [&](Case& one, std::uint32_t at) {
    one.run(killed(at));
    one.resume(killed_again(at, 90));
    one.resume(killed_again(at + 1, 60));
    all->done(one);
  });
}

TEST_CASE("a rollback that is killed is gone on with to the first state") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(all->rollback, "rollback killed", 5, [&](Case& one, std::uint32_t at) {
    one.run();
    one.rollback(killed(at));
    if (at % 2 == 0) one.resume(killed_again(at, 90));
    all->undone(one);
  });
  all->each(all->run, "killed, rollback killed", 8, [&](Case& one, std::uint32_t at) {
    one.run(killed(at));
    one.rollback(killed_again(at, 150));
    all->undone(one);
  });
}

TEST_CASE("a journal that is torn where it was not synced is mended, and the run comes to the same end") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(
      all->run, "torn", 2,
      [&](Case& one, std::uint32_t at) {
        one.run({.kind = CrashFile::Kind::kill, .at = at, .victims = with_keeper, .torn = true});
        all->done(one);
      },
      [](const Pass& pass) { return pass.name == "journal:sync"; });
}

TEST_CASE("a worker that is killed leaves a step that is gone on with") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(
      all->run, "worker killed", 4,
      [&](Case& one, std::uint32_t at) {
        one.run({.kind = CrashFile::Kind::kill, .at = at, .victims = CrashFile::passer});
        all->done(one);
        all->undone(one);
      },
      [&](const Pass& pass) { return pass.pid != all->run[0].pid; });
}

TEST_CASE("a system call that fails, or a delay, changes nothing of the end") {
  const Undisturbed* all = matrix();
  if (all == nullptr) return;
  all->each(
      all->run, "failed, resumed", 6,
      [&](Case& one, std::uint32_t at) {
        one.run(failed(at));
        all->done(one);
      },
      can_fail);
  all->each(
      all->run, "failed, rolled back", 8,
      [&](Case& one, std::uint32_t at) {
        one.run(failed(at));
        all->undone(one);
      },
      can_fail);
  all->each(
      all->rollback, "rollback failed", 8,
      [&](Case& one, std::uint32_t at) {
        one.run();
        one.rollback(failed(at));
        all->undone(one);
      },
      can_fail);
  all->each(all->run, "delayed", 40, [&](Case& one, std::uint32_t at) {
    one.run({.kind = CrashFile::Kind::delay, .at = at});
    one.need_exit(0);
    all->check_done(one);
  });
}
