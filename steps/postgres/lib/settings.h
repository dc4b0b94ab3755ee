// The texts that a recovery writes into a cluster: pure functions, a setting a line.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// Where a recovery stops: every moment is one WAL position by then, so that what was reached can be compared
// with it.
struct Stop {
  Lsn lsn = 0;            // of a record's first byte
  bool inclusive = true;  // after that record | before it
  Timeline timeline = 0;  // pinned: along this timeline's history and no other
};

using Settings = std::vector<std::pair<std::string, std::string>>;

// The folder of a recovery's own files, inside the new data directory and gone before the switch. Relative to
// it, the server's current folder, so that no path needs quoting whatever the data directory is called.
inline constexpr const char* work_folder = "relight.work";

// A server that nobody reaches and that reaches nobody: private socket, no TCP, no archiving, no preloaded
// library (and so no scheduled job), no subscription worker, no primary. `data` is the new data directory.
Settings quiet_settings(int major, const Demands& demands, const std::string& data);
// What makes it replay to the stop, and pause there.
Settings recovery_settings(const Stop& stop);
// What makes it replay fast, fed by a Feeder: room for the pages that the WAL comes back to. `spare`: bytes
// of memory.
Settings replay_settings(std::uint64_t spare);
// recovery_settings for a server that holds a paused copy: it has all that it needs in its pg_wal.
Settings holding_settings(const Stop& stop);

// As postgresql.conf has it: NAME = 'VALUE'.
std::string config_text(const Settings& settings);

// postgresql.auto.conf without the settings that steer a recovery: their lines become comments. Left in, the
// next recovery would obey them.
std::string without_recovery_settings(const std::string& auto_conf);

// postgresql.auto.conf with archiving on, each segment copied into `folder` and never over another; what it
// said of archiving is taken out.
std::string with_archive(const std::string& auto_conf, const std::string& folder);

std::string quiet_hba();                             // only this host's own user, by the private socket
std::string single_quoted(const std::string& text);  // for a configuration file

}  // namespace relight::postgres
