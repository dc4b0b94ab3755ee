// What a recovery set holds of blobs: an archive or a folder, and its manifest.
#pragma once
#include "runner/step/recovery_set.h"

namespace relight::blobs {

// "blobs": {"archive": PATH, "manifest": PATH}, or a list of these: names against the manifest, with
// `every_byte` hashes.
void verify_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report);

}  // namespace relight::blobs
