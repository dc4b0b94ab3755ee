// pg_control, as pg_controldata prints it: what a cluster is, and the settings its WAL demands of a standby.
#pragma once
#include <cstdint>
#include <string>

#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// The settings that a server which replays the WAL must not have lower than the one that wrote it.
struct Demands {
  std::uint64_t max_connections = 100;
  std::uint64_t max_worker_processes = 8;
  std::uint64_t max_wal_senders = 10;
  std::uint64_t max_prepared_transactions = 0;
  std::uint64_t max_locks_per_transaction = 64;
  std::string wal_level = "replica";
  bool track_commit_timestamp = false;
};

struct Control {
  std::string system_identifier;
  std::string state;               // "shut down", "in production", "in archive recovery"
  Timeline timeline = 0;           // of the last checkpoint
  Timeline recovery_timeline = 0;  // up to which a recovery has come; 0: none is under way
  std::uint64_t segment_size = default_segment_size;
  std::uint64_t block_size = 8192;
  bool checksums = false;
  Demands demands;
};

// `text`: of pg_controldata in the C locale. What is missing in it is a permanent Error that names `on`.
Control parse_control(const std::string& text, const std::string& on);

Control read_control(const Programs& programs, const std::string& data_folder);

// The desc of a PARAMETER_CHANGE record ("max_connections=200 ... wal_level=replica ..."): raises what it
// demands more of. False: the record says wal_level=minimal, and no older backup can be rolled past it.
bool raise_demands(Demands& demands, const std::string& parameter_change);

}  // namespace relight::postgres
