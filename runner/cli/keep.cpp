// keep: kept copies, whose, how big, how old; --drop frees them.
#include <fmt/core.h>

#include <cstdio>

#include "runner/cli/commands.h"
#include "runner/cli/print.h"
#include "runner/cli/terminal.h"
#include "runner/engine/abandon.h"
#include "runner/engine/engine.h"
#include "runner/engine/host_world.h"
#include "runner/engine/opening.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

std::string age_of(const std::string& since) {
  const auto time = sys::parse_time(since);
  if (!time) return "";
  return sys::show_duration(std::chrono::duration_cast<std::chrono::milliseconds>(sys::now() - *time)) +
         " old";
}

int list(const Options& options) {
  std::uint64_t total = 0;
  for (const RunFolder& folder : RunFolder::all(options.state)) {
    const SeenRun seen = look_at(folder);
    const RunRecord& record = seen.record;
    if (seen.damage) print_error(*seen.damage);
    bool named = false;
    for (const auto& [name, step] : record.steps) {
      if (!step.kept) continue;
      for (const Json& thing : *step.kept) {
        if (!named)
          std::printf("run %s of %s, %s\n", folder.id().c_str(), record.runbook.c_str(),
                      name_of(record.state));
        named = true;
        const std::uint64_t bytes = thing.value("bytes", std::uint64_t{0});
        total += bytes;
        std::printf("  %-10s  %-8s  %s\n    %s\n", name.c_str(), sys::show_size(bytes).c_str(),
                    age_of(step.finished_at).c_str(), thing.value("on", "").c_str());
      }
    }
    if (named && has_ended(record.state)) std::printf("  relight keep --drop %s\n", folder.id().c_str());
    if (named && !has_ended(record.state)) std::printf("  the run needs it until it has ended\n");
  }
  if (total == 0)
    std::printf("nothing is kept\n");
  else
    std::printf("%s in all\n", sys::show_size(total).c_str());
  return 0;
}

}  // namespace

int command_keep(const Options& options, const Program& program) {
  if (options.drop.empty()) return list(options);
  RunFolder folder = RunFolder::find(options.state, options.drop);
  const RunRecord record = record_of(folder);
  const Plan plan = folder.plan(program.types);
  if (!has_ended(record.state))
    throw Error(ErrorKind::refused, "cannot free what the run keeps", folder.id(),
                std::string("the run is ") + name_of(record.state), "finish it, or roll it back first");
  if (!options.yes) {
    if (!at_terminal())
      throw Error(ErrorKind::refused, "cannot ask", folder.id(), "nobody sits at the terminal",
                  "say --yes: the run cannot be rolled back afterwards");
    if (!ask_yes("free what run " + folder.id() + " keeps? It cannot be rolled back afterwards."))
      return exit_refused;
  }
  Terminal terminal(plan, folder, false);
  HostWorld world(folder, program.types, program.hooks);
  Engine engine(world, plan, terminal, {});
  return engine.discard();
}

}  // namespace relight
