// What a quiet server is kept from (law 11), and the cluster does of its own accord as soon as its service
// starts: a line each, for people. Replication slots are none of it: no base backup holds them.
#pragma once
#include <string>
#include <vector>

#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/server.h"

namespace relight::postgres {

inline constexpr const char* once_started = "once its service starts: ";

// By its catalog: enabled subscriptions, and the jobs of pg_cron where that is installed. Reads only.
std::vector<std::string> quieted_by_catalog(QuietServer& server, const std::string& role);

// By its settings, as `setting` (config.h) tells them: TCP, archiving, preloaded libraries.
std::vector<std::string> quieted_by_settings(const Programs& programs, const std::string& config_file,
                                             const std::string& data_folder);

}  // namespace relight::postgres
