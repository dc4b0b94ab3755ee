// What lies where a cluster is to be: nothing, an empty one, somebody's data.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace relight::postgres {

struct ClusterThere {
  enum class Kind {
    absent,
    empty_folder,
    empty_cluster,  // as initdb leaves it: no database and no table of its own
    cluster,
    other,  // something that is no cluster
  } kind = Kind::absent;
  std::string version;  // PG_VERSION
  std::uint64_t bytes = 0;
  std::vector<std::string> tablespaces;  // folders that it has outside of the data directory
};

ClusterThere look_at(const std::string& data_folder);

}  // namespace relight::postgres
