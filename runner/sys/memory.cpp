#include "runner/sys/memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>

#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::sys {

namespace {

constexpr std::uint64_t no_limit = UINT64_MAX;

// "max", and what is no number, sets none.
std::uint64_t number_or(const std::string& text, std::uint64_t other) {
  std::uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  return read.ec == std::errc() ? number : other;
}

// A line "NAME:   NUMBER kB", in bytes.
std::uint64_t told(const std::string& meminfo, const std::string& name, std::uint64_t other) {
  for (const std::string& line : split(meminfo, '\n'))
    if (line.rfind(name + ":", 0) == 0) {
      const std::uint64_t kibi = number_or(trim(line.substr(name.size() + 1)), no_limit);
      return kibi == no_limit ? other : kibi * 1024;
    }
  return other;
}

// Of the group and of all above it. A group's own count has the page cache in it, which gives way.
std::uint64_t limit_of_groups(const std::string& root) {
  std::uint64_t least = no_limit;
  for (const std::string& line : split(read_file_if_there(root + "/proc/self/cgroup").value_or(""), '\n')) {
    if (line.rfind("0::", 0) != 0) continue;
    for (std::string group = line.substr(3); group.size() > 1; group.resize(group.rfind('/')))
      least = std::min(
          least, number_or(read_file_if_there(root + "/sys/fs/cgroup" + group + "/memory.max").value_or(""),
                           no_limit));
  }
  return least;
}

}  // namespace

std::uint64_t spare_memory(const std::string& root) {
  const std::string meminfo = read_file_if_there(root + "/proc/meminfo").value_or("");
  std::uint64_t spare = std::min(told(meminfo, "MemAvailable", 0), limit_of_groups(root));
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    spare = std::min<std::uint64_t>(spare, space.rlim_cur);
  if (trim(read_file_if_there(root + "/proc/sys/vm/overcommit_memory").value_or("")) == "2") {
    const std::uint64_t limit = told(meminfo, "CommitLimit", 0), used = told(meminfo, "Committed_AS", 0);
    spare = std::min(spare, limit - std::min(limit, used));
  }
  return spare;
}

}  // namespace relight::sys
