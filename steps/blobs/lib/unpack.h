// Blobs out of their source, made beside the folder that they are to take the place of.
#pragma once
#include <optional>

#include "runner/step/call.h"
#include "runner/step/switch.h"
#include "runner/sys/process.h"
#include "steps/blobs/lib/manifest.h"
#include "steps/blobs/lib/source.h"

namespace relight::blobs {

inline constexpr const char* other_copy =
    "restore from another copy of the backup, or make its manifest anew if it is the manifest that is wrong";

// Whole, synced and, where the source has a manifest, checked against it; left to be marked. `owner` gets
// everything; nobody: the owners of the source. Killed, it goes on with the files that are not written yet;
// an Error that waiting does not mend frees what was made. DURABLE
Content unpack_beside(const Source& source, const Hashes& manifest, const std::optional<sys::User>& owner,
                      Switch& move, Call& call);

}  // namespace relight::blobs
