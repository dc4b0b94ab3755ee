#include "tests/matrix/case.h"

#include <fmt/core.h>
#include <signal.h>

#include <filesystem>

#include "runner/engine/opening.h"
#include "runner/engine/run_folder.h"
#include "runner/journal/reader.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight {
namespace {

void hold(bool good, const std::string& why) {
  if (!good) throw Broken{why};
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; !from.empty() && (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

Case::Case(const Outside& outside, Place place) : outside_(outside), place_(std::move(place)) {
  outside_.forget();
  std::filesystem::remove_all(place_.state);
  std::filesystem::remove_all(place_.world);
  std::filesystem::remove_all("/var/lib/relight/targets");  // whom earlier cases have left as owners
  make_world(place_.world);
  before_ = look_at_world(place_.world);
  if (!place_.file_systems.empty()) sync();
}

std::string Case::go(std::vector<std::string> args, const Crash& crash) {
  crashing_.expect(crash, place_.file_systems, left_);
  sys::Command command;
  command.argv = {crashing_program(), "--state", place_.state};
  command.argv.insert(command.argv.end(), args.begin(), args.end());
  command.extra_env[crash_variable] = crashing_.path();
  told_.clear();
  command.on_output = [&](std::string_view bytes) { told_ += bytes; };
  command.stop = [&] {
    crashing_.strike_if_asked();
    return false;
  };
  const sys::Result result = sys::run(command);
  told_ =
      "relight " + sys::join(args, " ") + fmt::format(" (exit {}):\n", result.exit_code) + result.out + told_;
  exit_ = result.exit_code;
  const std::string struck = crashing_.struck();
  const bool power = crash.kind == CrashFile::Kind::power && !struck.empty();
  if (power) {
    crashing_.end_all();
    place_.come_back();
  }
  const bool killed = exit_ == 128 + SIGKILL;
  hold(killed == (!struck.empty() && (crash.victims & CrashFile::relight) != 0),
       "relight was killed by something else: " + told_);
  hold(crashing_.outlived().empty(),
       fmt::format("process {} of an earlier attempt was alive when relight went on: {}",
                   crashing_.outlived(), told_));
  hold(outside_.overlaps().empty(), "two at work at once: " + outside_.overlaps());
  if (killed && (crash.victims & CrashFile::keeper) == 0)
    hold(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(2), {},
                         [&] { return crashing_.alive().empty(); }),
         "the keeper has left something alive");
  left_ = crashing_.alive();
  hold(killed || left_.empty(), "a process of the run was left alive by: " + told_);
  if (crash.torn && crashing_.struck_relight() && struck == "journal:sync") tear_journal();
  return struck;
}

std::string Case::begin(const Crash& crash) {
  const std::string book = outside_.file("book.lua");
  return go({"run", book, "--set", "world=" + place_.world, "--set", "outside=" + outside_.path()}, crash);
}

std::string Case::run(const Crash& crash) {
  sys::write_file(outside_.file("book.lua"), matrix_book, 0644);
  return begin(crash);
}

std::string Case::resume(const Crash& crash) {
  return run_was_made() ? go({"resume"}, crash) : begin(crash);
}

std::string Case::rollback(const Crash& crash) {
  return run_was_made() ? go({"rollback", "--yes"}, crash) : "";
}

std::string Case::run_folder() const {
  const std::vector<RunFolder> all = RunFolder::all(place_.state);
  return all.empty() ? "" : all.back().path();
}

bool Case::run_was_made() const {
  return !run_folder().empty();
}

RunRecord Case::record() const {
  const SeenRun seen = relight::look_at(RunFolder(run_folder()));
  hold(!seen.damage, seen.damage ? std::string("the journal is damaged: ") + seen.damage->what() : "");
  return seen.record;
}

// What was written and not synced is on the disk in part.
void Case::tear_journal() const {
  const std::string journal = run_folder() + "/journal";
  const std::string bytes = sys::read_file(journal);
  const std::uint64_t whole = read_journal(journal).valid_bytes;
  hold(whole == bytes.size(), "the journal was torn already");
  // The last batch begins where its first record does.
  std::size_t at = bytes.rfind('\n', bytes.size() - 2);
  while (at != std::string::npos) {
    const Json record = Json::parse(bytes.substr(at + 1, bytes.find('\n', at + 1) - at - 1));
    if (record["of"][0] == 1) break;
    at = at == 0 ? std::string::npos : bytes.rfind('\n', at - 1);
  }
  const std::size_t start = at == std::string::npos ? 0 : at + 1;
  std::filesystem::resize_file(journal, start + (bytes.size() - start) * 2 / 3);
}

// Of the step that a person is asked about: what is told outside is what happened.
int Case::decide() {
  const std::string run = sys::name_of_path(run_folder());
  const RunRecord seen = record();
  hold(seen.step(asked_step).state == StepRecord::State::in_doubt,
       "a person is asked for something else: " + told_);
  const char* answer = outside_.effects().contains(asked_step) ? "--done" : "--again";
  go({"resume", run, answer, asked_step}, {});
  return exit_;
}

void Case::to_the_end() {
  for (int tries = 0; tries < 4; ++tries) {
    if (run_was_made() && record().state == RunRecord::State::done) return;
    resume();
    if (exit_ == 4) decide();
    hold(exit_ == 0 || exit_ == 1, "it cannot be resumed: " + told_);
  }
  hold(false, "it does not come to an end: " + told_);
}

void Case::back_to_the_start() {
  for (int tries = 0; tries < 4; ++tries) {
    if (!run_was_made() || record().state == RunRecord::State::rolled_back) return;
    if (record().in_rollback)
      go({"resume"}, {});
    else
      rollback();
    // A run that has recorded nothing has nothing to take back.
    if (exit_ == 2 && record().steps.empty()) return;
    hold(exit_ == 0 || exit_ == 4, "it cannot be rolled back: " + told_);
  }
  hold(false, "it does not come back: " + told_);
}

std::string Case::plain(std::string text) const {
  return with(with(with(std::move(text), run_was_made() ? sys::name_of_path(run_folder()) : "", "RUN"),
                   place_.world, "WORLD"),
              outside_.path(), "OUTSIDE");
}

void Case::need_exit(int code) const {
  hold(exit_ == code, told_);
}

Whole Case::whole() const {
  Whole whole;
  for (const auto& [path, text] : look_at_world(place_.world)) whole.world[plain(path)] = plain(text);
  for (const auto& [name, step] : record().steps)
    // What a person calls done has no outputs.
    whole.steps[name] = std::string(name_of(step.state)) +
                        (step.outputs && name != asked_step ? " " + plain(step.outputs->dump()) : "");
  for (const auto& [name, times] : outside_.effects())
    if (!name.starts_with("undo-")) whole.effects.insert(name);
  return whole;
}

void Case::check_done(const Whole& wanted) const {
  const Whole seen = whole();
  hold(seen.world == wanted.world, "another end: " + differences(wanted.world, seen.world) + "\n" + told_);
  for (const auto& [name, step] : wanted.steps) {
    const auto found = seen.steps.find(name);
    hold(found != seen.steps.end() && found->second == step,
         "another end of " + name + ": " + (found == seen.steps.end() ? "none" : found->second) + ", not " +
             step);
  }
  for (const std::string& name : wanted.effects)
    hold(outside_.effects().contains(name), name + " is done, and did not happen");
  check_effects(false);
}

void Case::check_undone() const {
  Look seen;
  for (const auto& [path, text] : look_at_world(place_.world)) seen[plain(path)] = plain(text);
  hold(seen == before_, "not as it was: " + differences(before_, seen) + "\n" + told_);
  if (run_was_made()) check_effects(true);
}

// Nothing happens without its record, and nothing that is recorded as done happens again.
void Case::check_effects(bool undone) const {
  std::map<std::string, int> started;  // "NAME" and "undo-NAME"
  for (const Json& record : relight::look_at(RunFolder(run_folder())).records)
    if (record["kind"] == "started")
      ++started[(record["op"] == "undo" ? "undo-" : "") + record["step"].get<std::string>()];
  const std::map<std::string, int> effects = outside_.effects();
  const RunRecord seen = record();
  for (const auto& [name, times] : effects) {
    hold(times <= started[name],
         fmt::format("{} happened {} times, and was recorded {} times", name, times, started[name]));
    hold(times == 1 || name != asked_step, name + " happened twice, though a person was to be asked");
    hold(!undone || name.starts_with("undo-") || effects.contains("undo-" + name),
         name + " happened, and was not undone");
  }
}

}  // namespace relight
