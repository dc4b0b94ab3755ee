#include "steps/postgres/lib/checker.h"

namespace relight::postgres {

Checker::Checker(const Manifest& manifest, std::string prefix)
    : manifest_(manifest), prefix_(std::move(prefix)) {}

bool Checker::known(const std::string& name) const {
  return manifest_.files.count(prefix_ + name) != 0;
}

void Checker::fail(const std::string& name, const std::string& why) {
  if (fault_) return;
  fault_.emplace(ErrorKind::permanent, "the base backup is damaged", prefix_ + name, why,
                 "take the backup from another copy, or an older one; the target is as it was");
}

void Checker::begin(const std::string& name, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto told = manifest_.files.find(prefix_ + name);
  if (told == manifest_.files.end()) return;
  if (!seen_.insert(name).second) fail(name, "it comes twice");
  if (may_differ(prefix_ + name)) return;
  if (told->second.size != size) {
    fail(name, "it has " + std::to_string(size) + " bytes, and the manifest says " +
                   std::to_string(told->second.size));
    return;
  }
  Open open{size, Checksum(told->second.algorithm)};
  if (size == 0)
    end(name, open);
  else
    open_.emplace(name, std::move(open));
}

void Checker::block(const std::string& name, std::string_view bytes) {
  Open* open = nullptr;
  {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes.size();
    const auto found = open_.find(name);
    if (found == open_.end()) return;
    open = &found->second;  // a map's elements stay where they are
  }
  open->checksum.add(bytes);
  open->left -= std::min<std::uint64_t>(open->left, bytes.size());
  if (open->left != 0) return;
  const std::lock_guard lock(mutex_);
  end(name, *open);
  open_.erase(name);
}

void Checker::end(const std::string& name, Open& open) {
  const std::string& told = manifest_.files.at(prefix_ + name).checksum;
  const std::string found = open.checksum.hex();
  if (found != told) fail(name, "its checksum is " + found + ", and the manifest says " + told);
}

void Checker::passed_over(const std::string& name) {
  const std::lock_guard lock(mutex_);
  seen_.insert(name);
}

std::optional<Error> Checker::fault() const {
  const std::lock_guard lock(mutex_);
  return fault_;
}

std::optional<Error> Checker::verdict() const {
  const std::lock_guard lock(mutex_);
  if (fault_) return fault_;
  const auto missing = [](const std::string& path, const std::string& why) {
    return Error(ErrorKind::permanent, "the base backup is not whole", path, why,
                 "take the backup from another copy, or an older one; the target is as it was");
  };
  if (!open_.empty()) return missing(prefix_ + open_.begin()->first, "it is cut short");
  for (const auto& [path, file] : manifest_.files) {
    if (path.rfind(prefix_, 0) != 0) continue;
    // A tablespace's files are another part's.
    if (prefix_.empty() && path.rfind("pg_tblspc/", 0) == 0) continue;
    if (!seen_.count(path.substr(prefix_.size())) && !may_differ(path))
      return missing(path, "it is in the manifest, and not in the backup");
  }
  return std::nullopt;
}

std::uint64_t Checker::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace relight::postgres
