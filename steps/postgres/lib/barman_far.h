// Barman on another host: asked, and its files read, by ssh. Nothing is written there.
#pragma once
#include <memory>

#include "steps/postgres/lib/repository.h"

namespace relight::postgres {

std::shared_ptr<const Repository> open_far_barman(const RepositoryWish& wish);

}  // namespace relight::postgres
