// pgBackRest's repository: on this host or another, encrypted or not.
#pragma once
#include <memory>

#include "steps/postgres/lib/repository.h"

namespace relight::postgres {

std::shared_ptr<const Repository> open_backrest(const RepositoryWish& wish);

}  // namespace relight::postgres
