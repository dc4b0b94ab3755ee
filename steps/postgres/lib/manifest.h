// backup_manifest: what a base backup holds, with sizes and checksums.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runner/sys/text.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

struct ManifestFile {
  std::uint64_t size = 0;
  std::string algorithm;  // "CRC32C" "SHA1" "SHA224" "SHA256" "SHA384" "SHA512"; empty: no checksum was made
  std::string checksum;   // hex, lower case
  std::string modified;   // "2026-11-21 10:58:00 GMT"
};

struct Manifest {
  std::map<std::string, ManifestFile>
      files;                      // by path: "base/1/1259", "pg_tblspc/16384/PG_15_202209061/5/16385"
  Timeline timeline = 0;          // on which the backup began
  Lsn start = 0, end = 0;         // the WAL that it needs to be consistent
  std::string system_identifier;  // from 17 on; else empty

  std::uint64_t bytes() const;
  // When the backup began, or a bit later; nothing where the manifest does not tell.
  std::optional<sys::Time> started() const;
  std::optional<sys::Time> told_start;  // by who made it, in place of the date of its backup_label
};

// Checks the manifest's own checksum. `on` names it in the permanent Error of one that is damaged.
Manifest parse_manifest(const std::string& text, const std::string& on);

// What may differ from the manifest without fault: written after the backup (as pg_verifybackup has it).
bool may_differ(const std::string& path);

// The checksum of one file, block by block.
class Checksum {
 public:
  explicit Checksum(
      const std::string& algorithm);  // "" : counts nothing; an unknown one is a permanent Error
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  void add(std::string_view bytes);
  std::string hex();  // ends it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight::postgres
