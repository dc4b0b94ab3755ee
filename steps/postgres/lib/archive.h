// The WAL archive: which segments and histories lie where, and the run of them that leads from a base
// backup onwards.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// Where archived files lie that are in no folder of this host.
class FarArchive {
 public:
  virtual ~FarArchive() = default;
  // Writes the file, packed as it is kept, to the new file `to`; not synced. An Error names what cannot be
  // read.
  virtual void fetch(const std::string& path, const std::string& to,
                     const std::function<bool()>& stop) const = 0;
};

struct ArchivedFile {
  std::string path;
  std::string packing;   // "": as the server wrote it; else by what its name ends in, or "?"
  bool partial = false;  // of pg_receivewal, or of the end of a timeline: the rest of it is zeros
  std::uint64_t size = 0;
  bool old = false;                            // of the old server's pg_wal: it may end anywhere
  std::shared_ptr<const FarArchive> far = {};  // nothing: it is a file of this host

  bool lies_plain() const { return packing.empty() && far == nullptr; }
};

class WalArchive {
 public:
  // Reads the names in the folders, earlier ones first where two hold the same, and in those below them that
  // are named as pgBackRest and Barman name theirs, by the first half of a segment's name. A folder that
  // cannot be read, or two histories of one timeline that differ, is a problem.
  WalArchive(const std::vector<std::string>& folders, std::vector<Problem>& problems);

  // What the folders do not hold, from an old server's pg_wal. Only segments that hold what their names say,
  // of that system, count: the others there are for use again, with old content. `system_identifier`: empty:
  // any.
  void add_old(const std::string& pg_wal, const std::string& system_identifier,
               std::vector<Problem>& problems);

  void add_folder(const std::string& folder, std::vector<Problem>& problems);

  // One file more, by its name in the archive, packed or not; no archived file's name: it is passed over.
  void add(const std::string& name, ArchivedFile file, std::vector<Problem>& problems);

  const ArchivedFile* find(const std::string& name) const;  // "000000010000000000000002", "00000002.history"
  const std::map<std::string, ArchivedFile>& files() const { return files_; }

  // The path of the newest timeline that leads on from the backup, or of `wanted`. Histories that cannot be
  // read, or a wanted timeline that does not lead on, are refused Errors.
  Path path_from(Timeline timeline, Lsn start, Lsn end, std::optional<Timeline> wanted) const;

 private:
  std::map<std::string, ArchivedFile> files_;
};

// The unbroken run of segments along a path from a position onwards.
struct SegmentRun {
  std::uint64_t segment_size = default_segment_size;
  std::uint64_t first = 0;             // number of the first segment
  std::vector<std::string> names;      // of the files in use, from the first on
  Lsn end = 0;                         // what follows the last of them
  std::string missing;                 // the first segment that is not there
  bool more_after = false;             // and later ones are: a gap
  std::size_t cut_off = 0;             // how many
  std::string last_after;              // the last of them
  std::string name_of(Lsn lsn) const;  // of the file that holds a position
  std::uint64_t number_of(Lsn lsn) const { return lsn / segment_size; }
};
SegmentRun run_from(const WalArchive& archive, const Path& path, Lsn start, std::uint64_t segment_size);

// An archived file and the name under which it is handed out: a segment in which the timeline forks is read
// from the later timeline's file also by a server that is to stay on the earlier one.
struct Handed {
  std::string as, file;
};

// Reads again where that fails in passing (a transient Error), as in an archive on a network: for 6 s, unless
// told to stop.
void patiently(const std::function<void()>& read, const std::function<bool()>& stop = {});

// A timeline's history, decoded. An Error names what cannot be read.
std::string history_text(const ArchivedFile& file);

// Writes the file's bytes, decoded, to the new file `to`, patiently; not synced. An Error names what cannot
// be read; told to stop, a transient one.
void copy_decoded(const ArchivedFile& file, const std::string& to, const std::function<bool()>& stop);

// The first bytes of a segment and its size against what it must be: nothing, or why not.
std::string wrong_with_segment(const std::string& file, const SegmentName& name, std::uint64_t segment_size,
                               const std::string& system_identifier);

// The header of one archived segment; nothing: it is none, or not there.
std::optional<SegmentHeader> header_of(const WalArchive& archive, const std::string& name);

}  // namespace relight::postgres
