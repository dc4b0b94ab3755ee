// What a cluster holds, as rows and catalog, whatever its files look like.
#pragma once
#include <string>

#include "runner/step/call.h"

namespace relight::postgres {

// Of a paused copy: where it stands and, while its server is up, what that tells; else its files.
std::string copy_digest(const std::string& data_folder, const Call& call);

// SHA-256 over the text that pg_dumpall makes of a copy of the stopped cluster, started quietly in a
// temporary folder. "absent" where nothing lies; of what is no cluster, the digest of its files.
std::string content_digest(const std::string& data_folder, Call& call);

}  // namespace relight::postgres
