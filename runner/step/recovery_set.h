// A recovery set: a folder whose backup.json binds its parts to one moment. Each family knows its own parts,
// and tells whether they would restore.
//
// backup.json is an object with "format": "recovery-set/1", "product", "version", "time" (UTC), and
//   "files": [{"path", "size", "sha256"}...]   every file that it binds, paths below the folder
// "passphrase" (passphrase.h), where there is one. What else it holds is the families': "database", "blobs",
// "fingerprints", "releases".
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/secret.h"
#include "runner/step/step.h"
#include "runner/sys/json_whole.h"

namespace relight {

inline constexpr const char* set_format = "recovery-set/1";
inline constexpr const char* set_file = "backup.json";

struct RecoverySet {
  std::string folder;
  Json json;  // of its backup.json

  std::string text(const char* field) const;  // "" where it is absent or no text
};

// Throws a refused Error: no backup.json, none that can be read, of another format.
RecoverySet read_set(const std::string& folder);

// The files that the set binds, against what lies there: names and sizes, with `every_byte` hashes. Files
// that nobody bound are none of its.
void check_files(const RecoverySet& set, bool every_byte, Call& call, SetReport& report);

// The files, then the passphrase, then each family's parts. `passphrase`: null where none is at hand.
SetReport verify_set(const RecoverySet& set, bool every_byte, const Secret* passphrase, Call& call);

// {"path", "size", "sha256"} of every file below the folder that a backup.json must bind: not itself, none
// that is hidden or `left_out` says.
Json files_to_bind(const std::string& folder, const std::function<bool(const std::string& path)>& left_out,
                   Call& call);

}  // namespace relight
