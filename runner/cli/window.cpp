// window: from when to when could this backup be recovered? Reads only.
#include <cstdio>
#include <ctime>

#include "runner/cli/commands.h"
#include "runner/cli/look.h"
#include "runner/cli/print.h"
#include "runner/engine/engine.h"
#include "runner/step/window.h"
#include "runner/sys/files.h"

namespace relight {
namespace {

// "Tue 2026-11-17 02:10:04 UTC", the fraction left out: for people.
std::string shown_time(const std::string& iso) {
  const auto time = sys::parse_time(iso);
  if (!time) return iso;
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(*time).time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a %Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string end_of_window(const std::string& time, const std::string& at) {
  return time.empty() ? at : shown_time(time) + " (" + at + ")";
}

std::string window_text(const WindowReport& report) {
  std::string text;
  for (const Window& window : report.windows) {
    text += wrapped("any moment from " + end_of_window(window.from, window.from_at) + " to " +
                        end_of_window(window.to, window.to_at),
                    2) +
            "\n";
    text += "  begins with " + wrapped(window.base, 4) + "\n";
    for (const std::string& fact : window.facts) text += "  " + wrapped(fact, 4) + "\n";
  }
  const auto list = [&](const char* word, const std::vector<WindowReport::Named>& named) {
    for (const WindowReport::Named& one : named)
      text += "  " + wrapped(word + one.name + ": " + end_of_window(one.time, one.at), 4) + "\n";
  };
  list("named point ", report.named);
  list("before ", report.deletions);
  if (!report.around.empty() && report.deletions.empty())
    text += "  no large delete and no drop was found near " + report.around + "\n";
  for (const std::string& hint : report.hints) text += "  " + wrapped("note: " + hint, 4) + "\n";
  for (const Problem& gap : report.gaps) text += problem_text(gap, 2);
  if (report.windows.empty())
    text += "it cannot be recovered to any moment\n";
  else if (!report.gaps.empty())
    text += "not everything can be recovered: " + counted(report.gaps.size(), "fault") + "\n";
  return text;
}

Json named_json(const std::vector<WindowReport::Named>& named) {
  Json list = Json::array();
  for (const WindowReport::Named& one : named)
    list.push_back({{"name", one.name}, {"at", one.at}, {"time", one.time}});
  return list;
}

Json window_json(const std::string& folder, const WindowReport& report) {
  Json windows = Json::array(), gaps = Json::array();
  for (const Window& one : report.windows)
    windows.push_back({{"base", one.base},
                       {"from", one.from},
                       {"to", one.to},
                       {"from_at", one.from_at},
                       {"to_at", one.to_at},
                       {"facts", one.facts}});
  for (const Problem& one : report.gaps)
    gaps.push_back({{"what", one.what}, {"on", one.on}, {"why", one.why}, {"hint", one.hint}});
  return {{"backup", folder},
          {"windows", windows},
          {"named", named_json(report.named)},
          {"deletions", named_json(report.deletions)},
          {"gaps", gaps},
          {"hints", report.hints}};
}

}  // namespace

int command_window(const Options& options, const Program& program) {
  const std::string folder = sys::absolute(options.backup);
  if (!sys::is_folder(folder))
    throw Error(ErrorKind::refused, "cannot read the backup", folder, "there is no such folder",
                "correct the path");
  Look call("window", options.full);
  WindowReport report;
  report.around = options.around;
  for (const StepType* type : program.step_types)
    if (type->window != nullptr) type->window(folder, options.full, call, report);
  if (report.windows.empty() && report.gaps.empty())
    throw Error(ErrorKind::refused, "there is nothing that could be recovered to a moment", folder,
                "it holds no base backup and no WAL", "name a recovery set, or the folder that holds them");
  if (options.json)
    std::printf("%s\n", window_json(folder, report).dump().c_str());
  else
    std::fputs(window_text(report).c_str(), stdout);
  return report.windows.empty() || !report.gaps.empty() ? exit_failed : exit_done;
}

}  // namespace relight
