#include "steps/postgres/lib/outputs.h"

#include <algorithm>
#include <chrono>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/copy.h"

namespace relight::postgres {

Json outputs_of(const Wish& wish, const Decision& decision, const Programs& programs,
                const Replayed& replayed, const std::string& tree, const std::string& config,
                std::uint64_t bytes) {
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
  Json lost;
  if (const auto commit = sys::parse_time(target.last_commit); commit && wish.lost_at) {
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(*wish.lost_at - *commit);
    // The host's clock and the operator's differ: what was committed cannot have been lost.
    lost = std::max(0.0, static_cast<double>(gap.count()) / 1000.0);
  }
  return {{"url", url},
          {"data", wish.data_named},
          {"lsn", show_lsn(replayed.lsn)},
          {"timeline", replayed.timeline},
          {"last_commit", target.last_commit.empty() ? Json() : Json(target.last_commit)},
          {"recovered_to", wish.moment.text},
          {"rpo_seconds", lost},
          {"bytes", bytes},
          {"segments", target.segments.size()},
          {"protected", wish.pause ? Json() : Json(false)}};
}

}  // namespace relight::postgres
