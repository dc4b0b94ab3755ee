// The base backups on offer where several lie in one folder.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/moment.h"
#include "steps/postgres/lib/wish.h"

namespace relight::postgres {

// A folder that looks like one, whole or not.
bool is_base(const std::string& folder);

// Where base backups lie: the path itself where it is one (or nothing of the kind), else those right below
// it.
std::vector<std::string> bases_at(const std::string& path);

// Those of them that can be opened, the newest first: by timeline, then by where they end. A single one that
// cannot is an Error; one of several is a hint.
std::vector<BaseBackup> offers_at(const std::string& path, std::vector<std::string>& hints);
// Not one place alone that they come from.
std::optional<Problem> wrong_with_source(const Wish& wish);
// The same of a repository where the wish names one.
std::vector<BaseBackup> offers_of(const Wish& wish, std::vector<std::string>& hints);

// The one that the wish was told to begin with; its repository has not looked into it.
BaseBackup chosen_base(const Wish& wish);

// No look into the WAL is needed: it ends behind the moment.
bool surely_too_new(const BaseBackup& base, const Moment& moment);

// "/backup/base-2 of 2026-11-21T10:26:00Z"
std::string shown(const BaseBackup& base);

}  // namespace relight::postgres
