// A cluster of Debian's PostgreSQL packages where no systemd runs: postgresql@V-NAME, by pg_ctlcluster.
#pragma once
#include "steps/service/lib/service.h"

namespace relight {

// "postgresql@15-main", with or without ".service", as version and name; nothing: another unit.
struct ClusterName {
  std::string version, name;
};
std::optional<ClusterName> cluster_of_unit(const std::string& unit);

std::unique_ptr<Service> postgres_cluster(ClusterName cluster);

}  // namespace relight
