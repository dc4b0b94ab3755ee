#include "runner/step/newer.h"

#include <map>
#include <utility>
#include <vector>

#include "runner/sys/files.h"

namespace relight {
namespace {

using Stamp = std::pair<std::uint64_t, std::int64_t>;  // size and time

std::map<std::string, Stamp> files_of(const std::string& folder) {
  std::map<std::string, Stamp> files;
  sys::walk(folder, [&](const sys::Entry& entry) {
    if (entry.kind != 'd') files[entry.path] = {entry.size, entry.mtime_ns};
  });
  return files;
}

}  // namespace

std::string newer_than(const std::string& copy, const std::string& folder) {
  const std::map<std::string, Stamp> before = files_of(copy), now = files_of(folder);
  std::size_t added = 0, changed = 0, removed = 0;
  for (const auto& [path, stamp] : now) {
    const auto old = before.find(path);
    if (old == before.end())
      ++added;
    else if (old->second != stamp)
      ++changed;
  }
  for (const auto& [path, stamp] : before) removed += now.count(path) == 0 ? 1 : 0;
  std::vector<std::string> parts;
  const auto part = [&](std::size_t count, const char* how) {
    if (count == 0) return;
    const std::string files = parts.empty() ? (count == 1 ? " file" : " files") : "";
    parts.push_back(sys::show_count(count) + files + (count == 1 ? " was " : " were ") + how);
  };
  part(added, "added");
  part(changed, "changed");
  part(removed, "removed");
  return sys::join(parts, ", ");
}

std::string newer_since(sys::Time since, const std::string& folder) {
  const std::int64_t limit =
      std::chrono::duration_cast<std::chrono::nanoseconds>(since.time_since_epoch()).count();
  std::size_t written = 0;
  for (const auto& [path, stamp] : files_of(folder)) written += stamp.second > limit ? 1 : 0;
  if (written == 0) return "";
  return sys::show_count(written) + (written == 1 ? " file was written" : " files were written");
}

}  // namespace relight
