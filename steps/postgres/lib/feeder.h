// Hands a recovering server its WAL: decodes the next segments ahead of it, in parallel, into its pg_wal,
// each checked before it lies there. The archive is only read.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "steps/postgres/lib/archive.h"

namespace relight::postgres {

class Feeder {
 public:
  // Lays the restore_command's program into FOLDER/relight.work, listens there, and begins to decode.
  // `files`: what the server may have, in the order in which it will ask; and every history of the archive.
  // It may ask for the same one again; it may use none again (wal_recycle). The archive must outlive the
  // feeder. Throws Error.
  Feeder(const WalArchive& archive, const std::vector<Handed>& files, std::uint64_t segment_size,
         const std::string& data_folder);
  ~Feeder();  // from here on the restore_command ends with 200
  Feeder(const Feeder&) = delete;

  class State;

 private:
  std::unique_ptr<State> state_;
};

// Where no program can be run from the data directory's file system, the feeder's cannot.
bool runs_programs(const std::string& folder);

}  // namespace relight::postgres
