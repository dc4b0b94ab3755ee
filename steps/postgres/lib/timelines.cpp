#include "steps/postgres/lib/timelines.h"

#include <algorithm>
#include <map>

#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight::postgres {
namespace {

struct Fork {
  Timeline timeline = 0;
  Lsn at = 0;  // where it left its parent
};
using Forks = std::map<Timeline, std::vector<Fork>>;  // by parent; 0: of none

void add_forks(Forks& children, const Path& path) {
  Timeline parent = 0;
  for (const Stretch& stretch : path) {
    std::vector<Fork>& those = children[parent];
    if (std::none_of(those.begin(), those.end(),
                     [&](const Fork& one) { return one.timeline == stretch.timeline; }))
      those.push_back({stretch.timeline, stretch.begin});
    parent = stretch.timeline;
  }
}

void tell_forks(const Forks& children, Timeline parent, const Path& followed, std::size_t depth,
                std::vector<std::string>& lines) {
  const auto found = children.find(parent);
  if (found == children.end()) return;
  for (const Fork& child : found->second) {
    const bool is_followed = std::any_of(followed.begin(), followed.end(), [&](const Stretch& stretch) {
      return stretch.timeline == child.timeline;
    });
    lines.push_back(std::string(2 * depth, ' ') + "timeline " + std::to_string(child.timeline) +
                    (parent == 0 ? "" : " left " + std::to_string(parent) + " at " + show_lsn(child.at)) +
                    (is_followed ? ", followed" : ", not followed"));
    tell_forks(children, child.timeline, followed, depth + 1, lines);
  }
}

}  // namespace

std::vector<std::string> timeline_tree(const WalArchive& archive, const Path& followed) {
  Forks children;
  add_forks(children, followed);
  for (const auto& [name, file] : archive.files()) {
    const auto timeline = parse_history_name(name);
    if (!timeline) continue;
    try {
      add_forks(children, parse_history(*timeline, history_text(file), file.path));
    } catch (const Error&) {  // is told by whoever follows it
    }
  }
  std::vector<std::string> lines;
  tell_forks(children, 0, followed, 0, lines);
  return lines;
}

}  // namespace relight::postgres
