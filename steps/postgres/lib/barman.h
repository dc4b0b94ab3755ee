// Barman's home: its base backups are those of pg_basebackup, in folders that its command names, or on
// another host (barman_far.h).
#pragma once
#include <memory>

#include "steps/postgres/lib/repository.h"

namespace relight::postgres {

std::shared_ptr<const Repository> open_barman(const RepositoryWish& wish);

}  // namespace relight::postgres
