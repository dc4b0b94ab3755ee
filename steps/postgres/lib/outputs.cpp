#include "steps/postgres/lib/outputs.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/copy.h"

namespace relight::postgres {

Json outputs_of(const Wish& wish, const Decision& decision, const Programs& programs,
                const Replayed& replayed, const std::string& heartbeat, const std::string& tree,
                const std::string& config, std::uint64_t bytes) {
  std::string sockets = "/var/run/postgresql", port = "5432", file;
  for (const std::string& folder : {config, tree, debian_config_of(wish.data_named)})
    if (file.empty() && !folder.empty() && sys::exists(folder + "/postgresql.conf"))
      file = folder + "/postgresql.conf";
  if (!file.empty() && !wish.pause) {
    sockets = setting(programs, file, tree, "unix_socket_directories");
    port = setting(programs, file, tree, "port");
  }
  if (wish.port) port = std::to_string(*wish.port);
  const std::string url =
      wish.pause ? copy_url(wish.data, wish.role, wish.database) : url_of(wish.database, sockets, port);

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
          {"bytes", bytes},
          {"segments", target.segments.size()},
          {"system_identifier", read_control(programs, tree).system_identifier},
          {"protected", wish.pause ? Json() : Json(false)}};
}

std::optional<Problem> wrong_with_archive_into(const std::string& folder) {
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

}  // namespace relight::postgres
