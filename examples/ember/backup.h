// `ember backup`: a recovery set, that is all that brings this Ember back but its keys.
//
//   backup.json         binds the others: sizes, SHA-256, position, versions, fingerprints of the keys
//   ember.dump          pg_dump, custom format
//   blobs.tar.zst       the attachments of the dump's rows; blobs.sha256 lists them as sha256sum does
//   env                 the settings that are not secret
//   releases/           this program, ember-VERSION.tar.zst, and SHA256SUMS
//   base/               with a base backup: pg_basebackup's tars and its manifest
//   etc-postgresql/     with a base backup: the server's configuration folder, where it lies outside the data
//
// Dump and blobs are of one moment: the blobs are listed in the snapshot that is dumped, and no blob is ever
// changed or removed. A base backup is kept until the next one; the WAL archive beside it is the server's own
// to write. backup.json is written last: whoever finds a file that differs from it has found a backup that
// was cut short.
#pragma once
#include <string>

#include "examples/ember/config.h"

namespace ember {

struct BackupOptions {
  std::string folder;
  std::string env_file;  // empty: the settings come from the environment
  bool base = false;
};

void backup(const Config& config, const BackupOptions& options);

}  // namespace ember
