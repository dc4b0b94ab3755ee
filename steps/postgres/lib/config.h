// The configuration folder that lies outside the data directory (Debian's /etc/postgresql/V/NAME), and where
// a configured server will answer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/programs.h"

namespace relight::postgres {

// /etc/postgresql/V/NAME for /var/lib/postgresql/V/NAME; empty: the data directory is not named so.
std::string debian_config_of(const std::string& data_folder);

// The folder with postgresql.conf: `given` itself, or V/NAME below it where all of /etc/postgresql was kept.
// A refused Error when there is none.
std::string find_config(const std::string& given, const std::string& into);

// A setting as the server would have it, of a stopped cluster (empty: none is looked at). A permanent Error
// says what is wrong with the file.
std::string setting(const Programs& programs, const std::string& config_file, const std::string& data_folder,
                    const std::string& name);

// Says whether a server would take this configuration for this data directory: problems, and hints of what
// would surprise.
void check_config(const Programs& programs, const std::string& config_folder, const std::string& data_folder,
                  std::vector<Problem>& problems, std::vector<std::string>& hints);

// postgresql://ROLE@/DATABASE?host=SOCKETS&port=N, by the first socket folder, else by TCP. No role: whoever
// uses it.
std::string url_of(const std::string& database, const std::string& socket_folders, const std::string& port,
                   const std::string& role = "");
// The postgresql.conf of the first of the folders that has one, else empty.
std::string first_config(const std::vector<std::string>& folders);
// By the settings of a stopped cluster: of the first of the folders that has a postgresql.conf, else
// PostgreSQL's own. `port` wins over theirs.
std::string url_by_settings(const std::string& database, const Programs& programs,
                            const std::string& data_folder, const std::vector<std::string>& config_folders,
                            std::optional<std::int64_t> port = {});

}  // namespace relight::postgres
