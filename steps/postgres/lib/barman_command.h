// Barman's own command, on this host or by ssh on the one that keeps the backups.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "runner/sys/process.h"
#include "steps/postgres/lib/wish.h"

namespace relight::postgres {

// A command on RepositoryWish::host, by an ssh that asks for nothing. Over there a shell reads it: an
// argument that would not reach the program as it is, is a refused Error.
sys::Command far_command(const RepositoryWish& wish, const std::vector<std::string>& argv);
// What such a command ended with, as an Error that tells what could not be done and what ssh or it said. Of
// ssh itself it is transient.
Error far_error(const RepositoryWish& wish, const char* failed, const std::string& on,
                const sys::Result& result);

// What `barman QUESTION` answers. Its fault, in its own words, is a refused Error.
Json ask_barman(const RepositoryWish& wish, const std::vector<std::string>& question);
// The paths that `barman list-files` tells of a backup.
std::vector<std::string> barman_files(const RepositoryWish& wish, const std::string& label,
                                      const char* target);
// The folder of all its base backups: a backup's files lie in LABEL/data of it, and its tablespaces' in
// LABEL/OID.
std::string barman_bases(const RepositoryWish& wish, const std::string& label);
// Why a backup that `barman list-backups` tells cannot be used; empty: it can.
std::string wrong_with_status(const Json& told);
// Where the WAL that leads on from it lies.
std::string barman_wals(const RepositoryWish& wish, const std::string& label, const std::string& bases);

}  // namespace relight::postgres
