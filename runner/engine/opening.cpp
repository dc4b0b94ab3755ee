#include "runner/engine/opening.h"

#include <unistd.h>

#include <cstdlib>

#include "runner/engine/held.h"
#include "runner/journal/reader.h"
#include "runner/journal/record.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/keeper.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {

namespace {

// A keeper whose relight was killed holds the lock while it ends its children: that is waited for.
constexpr std::chrono::seconds keeper_patience{15};

// Who took the run's lock last: "PID START_TIME".
sys::ProcessId holder_of(const RunFolder& folder) {
  const std::string text = sys::read_file_if_there(folder.holder()).value_or("");
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) return {};
  return {std::atoi(text.c_str()), sys::trim(text.substr(space + 1))};
}

sys::FileLock take_run(const RunFolder& folder) {
  std::optional<sys::FileLock> lock;
  sys::ProcessId holder;
  const auto told = [&] { return !holder.start_time.empty() && sys::alive(holder); };
  sys::wait_until(keeper_patience, std::chrono::milliseconds(20), told, [&] {
    lock = sys::FileLock::try_lock(folder.lock());
    if (!lock) holder = holder_of(folder);
    return lock.has_value();
  });
  if (!lock) {
    const std::string who = told() ? ", process " + std::to_string(holder.pid) : "";
    throw Held(
        ErrorKind::refused, "cannot take the run", folder.id(), "another relight is working on it" + who,
        "`relight status " + folder.id() + "` shows how far it is; wait for it, or stop it with `kill -INT " +
            (who.empty() ? "PID" : std::to_string(holder.pid)) + "`");
  }
  const sys::ProcessId self = sys::process_now(getpid());
  sys::write_file(folder.holder(), std::to_string(self.pid) + " " + self.start_time + "\n", 0600);
  return std::move(*lock);
}

void end_what_is_left(const RunFolder& folder) {
  auto left = sys::end_holders(folder.alive(), std::chrono::seconds(10));
  if (left.empty()) left = sys::end_tagged(folder.id() + "/", std::chrono::seconds(10));
  if (left.empty()) return;
  std::string pids;
  for (const sys::ProcessId& process : left) pids += (pids.empty() ? "" : ", ") + std::to_string(process.pid);
  throw Error(ErrorKind::needs_person, "cannot go on with the run", folder.id(),
              "processes of an earlier attempt cannot be ended: " + pids,
              "end them (kill -9), then `relight resume " + folder.id() + "`");
}

}  // namespace

HeldRun hold_run(const RunFolder& folder) {
  sys::FileLock lock = take_run(folder);
  if (sys::exists(folder.alive())) end_what_is_left(folder);
  auto alive = sys::FileLock::try_lock(folder.alive(), true);
  if (!alive)
    throw Held(ErrorKind::refused, "cannot take the run", folder.id(), "something of it is still alive",
               "wait a moment and try again");
  return {std::move(lock), std::move(*alive)};
}

OpenedRun open_run(const RunFolder& folder) {
  OpenedRun opened;
  JournalEnd end;
  if (sys::exists(folder.journal())) {
    const JournalRead read = read_journal(folder.journal());
    opened.record = fold(read.records, false);
    // Whoever wrote last did not say goodbye: its last batch may be in memory alone, after a sync that
    // failed.
    if (read.torn || !opened.record.stopped) mend_journal(folder.journal(), read);
    opened.is_new = read.records.empty();
    end = read.end;
    if (read.sealed) unseal_journal(folder.journal());
  } else {
    opened.is_new = true;
  }
  opened.journal = std::make_unique<JournalWriter>(open_journal_file(folder.journal()), end);
  return opened;
}

Json opened_record(const std::string& run, const std::string& runbook, const std::string& plan_digest) {
  return {{"kind", "opened"}, {"format", journal_format}, {"program", "relight " RELIGHT_VERSION},
          {"run", run},       {"runbook", runbook},       {"plan", plan_digest},
          {"drill", false}};
}

SeenRun look_at(const RunFolder& folder) {
  SeenRun seen;
  // While another relight holds the run, what is started is running, and not in doubt.
  const bool live = !sys::FileLock::try_lock(folder.lock()).has_value();
  seen.record = fold({}, live);
  if (!sys::exists(folder.journal())) return seen;
  JournalSurvey survey = survey_journal(folder.journal());
  seen.records = std::move(survey.read.records);
  seen.torn = survey.read.torn;
  seen.damage = std::move(survey.damage);
  try {
    seen.record = fold(seen.records, live);
  } catch (const Error& error) {
    if (!seen.damage) seen.damage = error;
  }
  return seen;
}

RunRecord record_of(RunFolder& folder) {
  SeenRun seen = look_at(folder);
  if (seen.damage) throw *seen.damage;
  folder.choose(seen.record.plan_digest);
  return std::move(seen.record);
}

}  // namespace relight
