// backup.manifest, as pgBackRest keeps it of each backup.
#pragma once
#include <string>
#include <vector>

#include "steps/postgres/lib/manifest.h"

namespace relight::postgres {

struct BackrestManifest {
  std::map<std::string, ManifestFile> files;  // by path, as a backup_manifest has them
  struct Tablespace {
    std::string oid, location;
  };
  std::vector<Tablespace> tablespaces;
};

// What cannot be read in it is a permanent Error that names `on`.
BackrestManifest parse_backrest_manifest(const std::string& text, const std::string& on);

}  // namespace relight::postgres
