#include "runner/engine/abandon.h"

#include "runner/engine/opening.h"
#include "runner/engine/targets.h"
#include "runner/journal/reader.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

void write_end(const RunFolder& folder, const JournalRead& read) {
  JournalWriter journal(open_journal_file(folder.journal()), read.end);
  if (read.records.empty()) {
    const Json plan = Json::parse(sys::read_file(folder.path() + "/plan.json", 1u << 30), nullptr, false);
    const auto text = [&](const char* name) { return plan.is_object() ? plan.value(name, "") : ""; };
    journal.add(opened_record(folder.id(), text("runbook"), text("digest")));
  }
  journal.add({{"kind", "ended"}, {"state", "abandoned"}, {"exit", 0}, {"verdict", nullptr}});
  journal.flush();
}

// The valid part goes on in the journal's place, so that status, log and keep can be used again.
std::string set_aside(const RunFolder& folder, const JournalRead& read) {
  std::string aside = folder.journal() + ".damaged";
  for (int number = 2; sys::exists(aside); ++number)
    aside = folder.journal() + ".damaged-" + std::to_string(number);
  sys::copy_tree(folder.journal(), aside);
  unseal_journal(folder.journal());
  mend_journal(folder.journal(), read);
  return aside;
}

}  // namespace

bool has_ended(RunRecord::State state) {
  return state == RunRecord::State::done || state == RunRecord::State::rolled_back ||
         state == RunRecord::State::abandoned;
}

void finish_ending(const RunFolder& folder, RunRecord::State state) {
  const HeldRun held = hold_run(folder);
  if (state == RunRecord::State::abandoned) {
    Targets::free(folder.id());
  } else {
    // What was changed stays told in the marks: a rollback of an earlier run asks for it.
    std::vector<std::string> targets;
    for (const TargetHolder& one : Targets::of(folder.id())) targets.push_back(one.target);
    Targets::release(targets, folder.id(), state == RunRecord::State::rolled_back);
  }
  // A command that was killed before its first record was whole: nothing of it is sealed.
  if (const JournalRead read = read_journal(folder.journal()); read.torn)
    mend_journal(folder.journal(), read);
  seal_journal(folder.journal());
}

bool abandon_lost_run(const std::string& run) {
  const std::vector<TargetHolder> held = Targets::of(run);
  if (held.empty()) return false;
  if (has_folder(held.front()))
    throw Error(ErrorKind::refused, "cannot find the run", run, "it is kept in another state folder",
                "`relight --state " + held.front().state_folder + " abandon " + run + "`");
  Targets::free(run);
  return true;
}

Abandoned abandon_run(const RunFolder& folder) {
  const SeenRun before = look_at(folder);
  if (!before.damage && has_ended(before.record.state)) {
    finish_ending(folder, before.record.state);
    throw Error(ErrorKind::refused, "cannot abandon", folder.id(),
                std::string("the run is ") + name_of(before.record.state) + ", and holds nothing");
  }
  const HeldRun held = hold_run(folder);
  const SeenRun seen = look_at(folder);
  Abandoned done;
  for (const auto& [name, step] : seen.record.steps)
    if (step.touched && step.state != StepRecord::State::done) done.begun.push_back(name);
  JournalRead read;
  if (sys::exists(folder.journal())) {
    // Where even whole records make no sense, none of them can stay.
    if (!seen.damage || !seen.record.run.empty()) read = survey_journal(folder.journal()).read;
    if (seen.damage)
      done.damaged_journal = set_aside(folder, read);
    else if (read.torn || !seen.record.stopped)
      mend_journal(folder.journal(), read);
  }
  write_end(folder, read);
  Targets::free(folder.id());
  seal_journal(folder.journal());
  return done;
}

}  // namespace relight
