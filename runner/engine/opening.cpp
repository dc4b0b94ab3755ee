#include "runner/engine/opening.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "runner/engine/held.h"
#include "runner/journal/reader.h"
#include "runner/sys/keeper.h"
#include "runner/sys/wait.h"

namespace relight {

namespace {

// A keeper whose relight was killed holds the lock while it ends its children: that is waited for.
constexpr std::chrono::seconds keeper_patience{15};

sys::FileLock take_run(const RunFolder& folder) {
  std::optional<sys::FileLock> lock;
  sys::wait_until(keeper_patience, std::chrono::milliseconds(20), {}, [&] {
    lock = sys::FileLock::try_lock(folder.lock());
    return lock.has_value();
  });
  if (!lock)
    throw Held(ErrorKind::refused, "cannot take the run", folder.id(), "another relight is working on it",
               "`relight status " + folder.id() + "` shows it; wait for it, or stop it with SIGINT");
  return std::move(*lock);
}

void end_what_is_left(const RunFolder& folder) {
  const auto left = sys::end_holders(folder.alive(), std::chrono::seconds(10));
  if (left.empty()) return;
  std::string pids;
  for (const sys::ProcessId& process : left) pids += (pids.empty() ? "" : ", ") + std::to_string(process.pid);
  throw Error(ErrorKind::needs_person, "cannot go on with the run", folder.id(),
              "processes of an earlier attempt cannot be ended: " + pids,
              "end them (kill -9), then `relight resume " + folder.id() + "`");
}

}  // namespace

OpenedRun open_run(const RunFolder& folder) {
  sys::FileLock lock = take_run(folder);
  if (sys::exists(folder.alive())) end_what_is_left(folder);
  auto alive = sys::FileLock::try_lock(folder.alive(), true);
  if (!alive)
    throw Held(ErrorKind::refused, "cannot take the run", folder.id(), "something of it is still alive",
               "wait a moment and try again");
  OpenedRun opened{std::move(lock), std::move(*alive), {}, nullptr, false};
  JournalEnd end;
  if (sys::exists(folder.journal())) {
    const JournalRead read = read_journal(folder.journal());
    if (read.torn) mend_journal(folder.journal(), read);
    opened.record = fold(read.records, false);
    opened.is_new = read.records.empty();
    end = read.end;
    if (read.sealed) unseal_journal(folder.journal());
  } else {
    opened.is_new = true;
  }
  opened.journal = std::make_unique<JournalWriter>(open_journal_file(folder.journal()), end);
  return opened;
}

}  // namespace relight
