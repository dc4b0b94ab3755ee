// status and log: what a run has done and where it stands.
#include <fmt/core.h>

#include <cstdio>

#include "runner/cli/commands.h"
#include "runner/cli/print.h"
#include "runner/cli/summary.h"
#include "runner/engine/engine.h"
#include "runner/engine/opening.h"
#include "runner/engine/worker.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {

namespace {

std::string as_text(const Json& record, const char* member) {
  const auto it = record.find(member);
  if (it == record.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

std::string error_text(const Json& record) {
  return record.contains("error") ? std::string(error_from_json(record["error"]).what()) : std::string();
}

// One record in words.
std::string record_words(const Json& record) {
  const std::string kind = as_text(record, "kind");
  const std::string step = as_text(record, "step");
  if (kind == "opened") return "run of " + as_text(record, "runbook") + " by " + as_text(record, "program");
  if (kind == "resumed")
    return "resumed by " + as_text(record, "program") + ", pid " + as_text(record, "pid");
  if (kind == "started")
    return fmt::format("{}: {} began, attempt {}", step, as_text(record, "op"), as_text(record, "attempt"));
  if (kind == "note")
    return fmt::format("{}: note {} = {}", step, as_text(record, "key"), as_text(record, "value"));
  if (kind == "finished") return fmt::format("{}: finished, outputs {}", step, as_text(record, "outputs"));
  if (kind == "failed")
    return fmt::format("{}: {} failed{}: {}", step, as_text(record, "op"),
                       record.value("again", false) ? ", will be tried again" : "", error_text(record));
  if (kind == "skipped") return fmt::format("{}: skipped, {}", step, as_text(record, "why"));
  if (kind == "settled") return step + ": nothing of the earlier attempts is left alive";
  if (kind == "undone") return step + ": undone";
  if (kind == "kept") return fmt::format("{}: keeps {}", step, as_text(record, "things"));
  if (kind == "discarded") return step + ": what it kept is freed";
  if (kind == "baseline")
    return fmt::format("{}: {} before the first effect", step,
                       record.value("passed", false) ? "passes" : "fails");
  if (kind == "watched" && record["up"].is_null()) return step + ": watches no more";
  if (kind == "watched" && record["up"] == true)
    return step + ": answers" +
           (record.contains("ms")
                ? ", after " + sys::show_duration(std::chrono::milliseconds(record["ms"].get<std::int64_t>()))
                : "");
  if (kind == "watched") return step + ": answers no more, since " + as_text(record, "from");
  if (kind == "approved") return fmt::format("{}: approved, by {}", step, as_text(record, "by"));
  if (kind == "waiting") return fmt::format("{}: waits for an approval", step);
  if (kind == "when") return fmt::format("{}: `when` said {}", step, as_text(record, "value"));
  if (kind == "amended") return "amended: " + as_text(record, "changes");
  if (kind == "rolling_back") {
    const std::string to = as_text(record, "to");
    return "rollback began" + (to.empty() ? std::string() : ", " + to + " stays");
  }
  if (kind == "interrupted") return "interrupted by signal " + as_text(record, "signal");
  if (kind == "ended")
    return fmt::format("ended: {}, exit code {}", as_text(record, "state"), as_text(record, "exit"));
  return record.dump();
}

// What was shown is the valid part of a damaged journal: that is said behind it.
int told(const SeenRun& seen) {
  if (!seen.damage) return 0;
  std::fflush(stdout);
  print_error(*seen.damage);
  return exit_needs_person;
}

}  // namespace

int command_status(const Options& options, const Program& program) {
  RunFolder folder = RunFolder::find(options.state, options.run);
  const SeenRun seen = look_at(folder);
  folder.choose(seen.record.plan_digest);
  const Plan plan = folder.plan(program.types);
  if (options.json)
    std::printf("%s\n", status_json(folder, plan, seen.record).dump().c_str());
  else
    std::fputs(status_text(folder, plan, seen.record).c_str(), stdout);
  return told(seen);
}

int command_log(const Options& options, const Program& program) {
  // `relight log STEP` means the latest run: no run's id looks like a step of it.
  Options chosen = options;
  RunFolder folder = RunFolder::find(options.state, "");
  const auto has_step = [&](const std::string& name) {
    folder.choose(look_at(folder).record.plan_digest);
    return folder.plan(program.types).find(name) != nullptr;
  };
  if (options.step.empty() && !options.run.empty() && has_step(options.run))
    chosen.step = options.run, chosen.run.clear();
  folder = RunFolder::find(chosen.state, chosen.run);
  if (chosen.step.empty()) {
    const SeenRun seen = look_at(folder);
    for (const Json& record : seen.records) {
      const std::string wall = as_text(record, "wall");
      std::printf("%s  %s\n", wall.substr(0, 19).c_str(), wrapped(record_words(record), 21).c_str());
    }
    if (seen.torn)
      std::printf("the end of the journal is torn, as by a power cut: the next resume mends it\n");
    return told(seen);
  }
  if (!has_step(chosen.step))
    throw Error(ErrorKind::refused, "cannot show the log", chosen.step, "the run has no step of that name",
                "`relight status " + folder.id() + "` lists them");
  const auto text = sys::read_file_if_there(folder.log_of(chosen.step));
  std::fputs(text ? text->c_str() : "it printed nothing\n", stdout);
  return 0;
}

}  // namespace relight
