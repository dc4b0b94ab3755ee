// WAL replay with relight's feeder against another way, on the same base backup and the same segments.
#pragma once
#include <functional>
#include <string>

namespace relight::bench {

// The other way: its restore_command, from the archive's folder; "": all of the WAL is in pg_wal already.
using Peer = std::function<std::string(const std::string& archive)>;

// What most of the WAL is of: rows loaded since the base backup, or rows updated all over a table of 250 MB.
enum class Written { loaded, updated };

// `packing`: gz or zst, of the archived segments. Prints as compare() does; returns the exit code of the
// program.
int wal(const std::string& name, double target, const std::string& packing, const Peer& peer,
        Written written = Written::loaded);
int wal_against_backrest(const std::string& name, double target);
}  // namespace relight::bench
