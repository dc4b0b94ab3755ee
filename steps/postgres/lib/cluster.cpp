#include "steps/postgres/lib/cluster.h"

#include <algorithm>
#include <charconv>

#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::postgres {

namespace {

// Objects that initdb makes have numbers below it.
constexpr std::uint64_t first_normal_object = 16384;

std::uint64_t leading_number(const std::string& name) {
  std::uint64_t number = 0;
  std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

bool holds_nothing_of_its_own(const std::string& data_folder) {
  bool empty = true;
  sys::walk(data_folder + "/base", [&](const sys::Entry& entry) {
    // A database is a folder, a table a file: both are named by their numbers.
    if (leading_number(sys::name_of_path(entry.path)) >= first_normal_object) empty = false;
  });
  return empty;
}

}  // namespace

ClusterThere look_at(const std::string& data_folder) {
  ClusterThere there;
  if (!sys::exists(data_folder)) return there;
  there.kind = ClusterThere::Kind::other;
  if (!sys::is_folder(data_folder)) return there;
  there.bytes = sys::tree_bytes(data_folder);
  const auto version = sys::read_file_if_there(data_folder + "/PG_VERSION");
  if (!version) {
    const std::vector<std::string> names = sys::names_in(data_folder);
    const bool mounted = sys::is_mount_point(data_folder);
    if (std::all_of(names.begin(), names.end(),
                    [&](const std::string& name) { return sys::is_set_apart(name, mounted); }))
      there.kind = ClusterThere::Kind::empty_folder;
    return there;
  }
  there.version = sys::trim(*version);
  if (sys::is_folder(data_folder + "/pg_tblspc"))
    sys::walk(data_folder + "/pg_tblspc", [&](const sys::Entry& entry) {
      if (entry.kind == 'l') there.tablespaces.push_back(entry.link);
    });
  const bool whole = sys::is_folder(data_folder + "/base") && sys::exists(data_folder + "/global/pg_control");
  there.kind = whole && there.tablespaces.empty() && holds_nothing_of_its_own(data_folder)
                   ? ClusterThere::Kind::empty_cluster
                   : ClusterThere::Kind::cluster;
  return there;
}

}  // namespace relight::postgres
