#include "steps/postgres/lib/offers.h"

#include <algorithm>

#include "runner/sys/archive.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "steps/postgres/lib/repository.h"

namespace relight::postgres {
namespace {

bool begins_with(const std::string& name, const char* word) {
  return name.rfind(word, 0) == 0;
}

// Not the tars that belong to one: its WAL, and its tablespaces, which are named by numbers.
bool is_base_archive(const std::string& path) {
  const std::string name = sys::name_of_path(path);
  const bool named = name.find(".tar") != std::string::npos || name.find(".tgz") != std::string::npos;
  return named && !begins_with(name, "pg_wal.") && name.find_first_not_of("0123456789") != name.find('.') &&
         sys::is_archive(path);
}

void newest_first(std::vector<BaseBackup>& offers) {
  std::sort(offers.begin(), offers.end(), [](const BaseBackup& a, const BaseBackup& b) {
    return std::pair(a.manifest.timeline, a.manifest.end) > std::pair(b.manifest.timeline, b.manifest.end);
  });
}

}  // namespace

bool is_base(const std::string& folder) {
  const std::vector<std::string> names = sys::names_in(folder);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "PG_VERSION" || begins_with(name, "base.tar") || name == "base.tgz";
  });
}

std::vector<std::string> bases_at(const std::string& path) {
  if (!unreadable(path).why.empty() || !sys::is_folder(path) || is_base(path)) return {path};
  std::vector<std::string> found;
  for (const std::string& name : sys::names_in(path)) {
    const std::string one = path + "/" + name;
    if (!unreadable(one).why.empty()) continue;
    if (sys::is_folder(one) ? is_base(one) : is_base_archive(one)) found.push_back(one);
  }
  return found.empty() ? std::vector<std::string>{path} : found;
}

std::vector<BaseBackup> offers_at(const std::string& path, std::vector<std::string>& hints) {
  const std::vector<std::string> places = bases_at(path);
  if (places.size() == 1) return {open_base(places.front())};
  std::vector<BaseBackup> offers;
  for (const std::string& place : places) {
    try {
      offers.push_back(open_base(place));
    } catch (const Error& error) {
      if (error.kind == ErrorKind::transient) throw;
      hints.push_back("a base backup that cannot be used: " + place + ": " + error.why);
    }
  }
  if (offers.empty())
    throw Error(ErrorKind::refused, "this is no base backup", path, "none of those in it can be used",
                "name the folder of one to see why");
  newest_first(offers);
  return offers;
}

std::optional<Problem> wrong_with_source(const Wish& wish) {
  if (!wish.has_base())
    return Problem{"no base backup is named", wish.data, "neither base nor repository is given",
                   "write base = \"/a/folder\", or repository = pgbackrest{ stanza = \"main\" }"};
  if (wish.repository && !wish.base.empty())
    return Problem{"two sources are named", wish.base, wish.repository->text() + " is named, too",
                   "leave base or repository out"};
  return std::nullopt;
}

std::vector<BaseBackup> offers_of(const Wish& wish, std::vector<std::string>& hints) {
  if (!wish.repository) return offers_at(wish.base, hints);
  std::vector<BaseBackup> offers = open_repository(*wish.repository)->backups(hints);
  newest_first(offers);
  return offers;
}

BaseBackup chosen_base(const Wish& wish) {
  if (!wish.repository) return open_base(wish.base);
  std::vector<std::string> told_before;
  return offers_of(wish, told_before).front();
}

bool surely_too_new(const BaseBackup& base, const Moment& moment) {
  const auto started = base.manifest.started();
  return (moment.kind == Moment::Kind::lsn && moment.lsn < base.manifest.start) ||
         (moment.kind == Moment::Kind::time && started && moment.time < *started);
}

std::string shown(const BaseBackup& base) {
  const auto started = base.manifest.started();
  return base.path + (started ? " of " + sys::show_time(*started) : "");
}

}  // namespace relight::postgres
