#include "steps/postgres/lib/outputs.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/quieted.h"

namespace relight::postgres {
namespace {

std::optional<Problem> wrong_with_archive(const std::string& folder) {
  const std::string hint = "name a folder that is empty, or not there yet";
  if (!sys::exists(folder)) {
    std::string parent = sys::parent_of(folder);
    while (!sys::exists(parent) && parent != "/") parent = sys::parent_of(parent);
    if (sys::is_folder(parent) && access(parent.c_str(), W_OK | X_OK) == 0) return std::nullopt;
    return Problem{"cannot make the folder of the archive", folder,
                   parent + " is not writable for " + sys::current_user().name,
                   "make the folder the user's own in a step before this one, with host.directory"};
  }
  if (!sys::is_folder(folder))
    return Problem{"the archive's place is no folder", folder, "it is a file", hint};
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    return Problem{"cannot archive into the folder", folder,
                   "it is not writable for " + sys::current_user().name, "make it the user's own"};
  const std::vector<std::string> names = sys::names_in(folder);
  if (names.empty()) return std::nullopt;
  const auto wal = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return parse_segment(name.substr(0, 24), smallest_segment_size) || parse_history_name(name);
  });
  return Problem{"the archive's place is in use", folder,
                 wal != names.end() ? "it holds WAL of another cluster or timeline: " + *wal
                                    : "it is not empty: it holds " + names.front(),
                 hint};
}

}  // namespace

Json outputs_of(const Wish& wish, const Decision& decision, const Programs& programs,
                const Replayed& replayed, const std::string& heartbeat, const Json& quieted,
                const std::string& tree, const std::string& config, std::uint64_t bytes) {
  const std::vector<std::string> folders = {config, tree, wish.config_outside()};
  Json url;  // of a container the address comes with its start
  if (wish.pause)
    url = copy_url(wish.data, wish.role, wish.database);
  else if (!wish.container)
    url = url_by_settings(wish.database, programs, tree, folders, wish.port);
  Json starts = Json::array();
  if (const std::string file = first_config(folders); !wish.pause && !file.empty())
    starts = quieted_by_settings(programs, file, tree);
  for (const Json& line : quieted) starts.push_back(line);

  const Target& target = decision.target;
  // A heartbeat tells how long the database lived: what was lost is known. Without one it may have been idle
  // from its last commit on, and nothing was lost.
  Json lost, at_least;
  const std::string lived = heartbeat.empty() ? target.last_commit : heartbeat;
  if (const auto until = sys::parse_time(lived); until && wish.lost_at) {
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(*wish.lost_at - *until);
    // The host's clock and the operator's differ: what was committed cannot have been lost.
    lost = std::max(0.0, static_cast<double>(gap.count()) / 1000.0);
    at_least = heartbeat.empty() ? Json(0.0) : lost;
  }
  return {{"url", url},
          {"data", wish.data_named},
          {"lsn", show_lsn(replayed.lsn)},
          {"timeline", replayed.timeline},
          {"last_commit", target.last_commit.empty() ? Json() : Json(target.last_commit)},
          {"recovered_to", wish.moment.text},
          {"rpo_seconds", lost},
          {"rpo_at_least_seconds", at_least},
          {"heartbeat", heartbeat.empty() ? Json() : Json(heartbeat)},
          {"quieted", starts},
          {"bytes", bytes},
          {"segments", target.segments.size()},
          {"system_identifier", read_control(programs, tree).system_identifier},
          {"protected", wish.pause ? Json() : Json(false)}};
}

std::vector<Output> recovery_outputs() {
  return {{.name = "url",
           .doc = "of the database, by the server's own socket; of a paused copy, by its private one; "
                  "null: in a container, which has no address before its start"},
          {.name = "data", .doc = "the data directory, or the copy's folder"},
          {.name = "lsn", .doc = "the position up to which it was replayed"},
          {.name = "timeline", .doc = "the timeline that it is on now"},
          {.name = "last_commit", .doc = "when the last transaction in it was committed; null: unknown"},
          {.name = "recovered_to", .doc = "the moment that was asked for"},
          {.name = "rpo_seconds", .doc = "at most so much was lost, up to lost_at; null: unknown"},
          {.name = "rpo_at_least_seconds",
           .doc = "and at least so much: as much with a heartbeat; null: unknown"},
          {.name = "heartbeat", .doc = "the newest value of the heartbeat; null: unknown"},
          {.name = "quieted",
           .doc = "what its service starts again, and the quiet server did not: archiving, TCP, libraries, "
                  "subscriptions, jobs of pg_cron; a line each"},
          {.name = "bytes", .doc = "what the base backup holds, or the copy's folder"},
          {.name = "segments", .doc = "archived WAL segments that were handed to the server"},
          {.name = "system_identifier", .doc = "of the cluster"},
          {.name = "protected",
           .doc = "false: no base backup of the new timeline exists yet; null: it is a paused copy"}};
}

std::vector<Output> copy_outputs() {
  std::vector<Output> outputs = recovery_outputs();
  std::erase_if(outputs, [](const Output& one) {
    return std::find(std::begin(of_no_copy), std::end(of_no_copy), one.name) != std::end(of_no_copy);
  });
  return outputs;
}

void foresee_archive(const std::string& folder, Preview& preview) {
  const auto wrong = wrong_with_archive(folder);
  if (!wrong) return;
  if (sys::exists(folder)) return preview.problems.push_back(*wrong);
  preview.verdict = Preview::Verdict::cannot_yet_tell;
  preview.hints.push_back(wrong->what + " " + folder + ": " + wrong->why + ": " + wrong->hint);
}

void refuse_archive(const std::string& folder) {
  if (const auto wrong = wrong_with_archive(folder))
    throw Error(ErrorKind::refused, wrong->what, wrong->on, wrong->why, wrong->hint);
}

}  // namespace relight::postgres
