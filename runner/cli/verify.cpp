// verify: would this recovery set restore? Reads only.
#include <algorithm>
#include <cstdio>
#include <optional>

#include "runner/cli/commands.h"
#include "runner/cli/look.h"
#include "runner/cli/print.h"
#include "runner/engine/engine.h"
#include "runner/engine/secrets.h"
#include "runner/step/recovery_set.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

std::string verified_text(const RecoverySet& set, const SetReport& report) {
  std::string text = "recovery set of " + set.text("product") + " " + set.text("version") + ", sealed " +
                     set.text("time") + "\n";
  std::size_t width = 0;
  for (const SetReport::Part& part : report.parts) width = std::max(width, part.name.size());
  for (const SetReport::Part& part : report.parts)
    text += "  " + part.name + std::string(width - part.name.size() + 2, ' ') +
            wrapped(part.found, width + 4) + "\n";
  for (const std::string& hint : report.hints) text += "  " + wrapped("note: " + hint, 4) + "\n";
  for (const Problem& problem : report.problems) text += problem_text(problem, 2);
  text += report.problems.empty()
              ? "it would restore\n"
              : "it would not restore: " + counted(report.problems.size(), "fault") + "\n";
  return text;
}

Json verified_json(const RecoverySet& set, const SetReport& report) {
  Json parts = Json::array(), problems = Json::array();
  for (const SetReport::Part& part : report.parts)
    parts.push_back({{"part", part.name}, {"found", part.found}});
  for (const Problem& one : report.problems)
    problems.push_back({{"what", one.what}, {"on", one.on}, {"why", one.why}, {"hint", one.hint}});
  return {{"set", set.folder},
          {"product", set.text("product")},
          {"version", set.text("version")},
          {"time", set.text("time")},
          {"parts", parts},
          {"hints", report.hints},
          {"problems", problems}};
}

}  // namespace

int command_verify(const Options& options, const Program&) {
  const RecoverySet set = read_set(sys::absolute(options.backup));
  Look call("verify", options.full);
  std::optional<Secret> passphrase;
  if (!options.passphrase_file.empty())
    passphrase = read_secret(Json::object({{"file", sys::absolute(options.passphrase_file)}}), {});
  const SetReport report = verify_set(set, options.full, passphrase ? &*passphrase : nullptr, call);
  if (options.json)
    std::printf("%s\n", verified_json(set, report).dump().c_str());
  else
    std::fputs(verified_text(set, report).c_str(), stdout);
  return report.problems.empty() ? exit_done : exit_failed;
}

}  // namespace relight
