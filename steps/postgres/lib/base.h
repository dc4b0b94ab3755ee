// A base backup as pg_basebackup leaves it: a folder, or the tars of one; always with its manifest.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/manifest.h"

namespace relight::postgres {

// One piece of the backup: the data directory itself, or a tablespace.
struct BasePart {
  std::string source;  // an archive or a folder
  bool archive = false;
  std::string inside;          // what the names in an archive begin with: "" or "base/"
  std::string oid;             // of a tablespace; empty: the data directory
  std::string location;        // of a tablespace: where it lay
  std::string prefix() const;  // of its files in the manifest: "" or "pg_tblspc/16384/"
};

class Repository;  // repository.h

struct BaseBackup {
  std::string path;           // as the runbook names it; in a repository: for people
  int major = 0;              // of PG_VERSION
  std::string label_segment;  // the WAL segment it begins in, as backup_label names it
  std::string manifest_file;
  Manifest manifest;
  std::vector<BasePart> parts;                   // the data directory first
  std::string wal;                               // the WAL that came with it: a folder, an archive, or ""
  std::shared_ptr<const Repository> repository;  // nothing: it was named by its path
  std::string label;                             // in the repository
  std::string archive;                           // of the repository's, that holds its WAL

  bool is_brought() const { return parts.front().source.empty(); }  // by the repository's own tool

  std::uint64_t bytes_of(const BasePart& part) const;
  const BasePart& data() const { return parts.front(); }
};

// Why this process cannot read what lies there, and what to do; empty `why`: it can, as far as permissions
// tell.
struct Unreadable {
  std::string why, hint;
};
Unreadable unreadable(const std::string& path);

// Finds out what lies there, by reading names, the manifest and the first few files. A refused Error: it is
// no base backup, or has no manifest.
BaseBackup open_base(const std::string& path);

// Names and sizes against the manifest, as far as they can be told without decoding; `every_byte`: the
// checksums too. What cannot be told yet is a hint.
void check_base(const BaseBackup& base, bool every_byte, std::vector<Problem>& problems,
                std::vector<std::string>& hints, const std::function<bool()>& stop);

// Unpacks a part into a folder that is there and empty, every file checked against the manifest while it is
// written. WAL and what only the old host's life meant is left out. DURABLE on return. A file that differs,
// is missing or is a link is a permanent Error.
void unpack_part(const BaseBackup& base, const BasePart& part, const std::string& folder,
                 const std::function<void(std::uint64_t bytes)>& progress, const std::function<bool()>& stop,
                 const std::function<void(const std::string&)>& log);

// Unpacks the WAL that came in an archive with the base backup into a folder that is there and empty.
void unpack_base_wal(const BaseBackup& base, const std::string& folder);

// The lines of a tablespace_map: OID -> location.
std::map<std::string, std::string> parse_tablespace_map(const std::string& text);

}  // namespace relight::postgres
