#include "runner/step/package_guards.h"

#include "runner/step/placed_file.h"
#include "runner/sys/failpoint.h"

namespace relight {
namespace {

PlacedFile policy(Call& call) {
  return PlacedFile(call, call.place("/usr/sbin/policy-rc.d"), 0755);
}
PlacedFile clusters_file(Call& call) {
  return PlacedFile(call, call.place("/etc/postgresql-common/createcluster.conf"), 0644);
}

}  // namespace

void PackageGuards::raise(bool clusters) {
  // 101: "action forbidden by policy".
  policy(call_).put("#!/bin/sh\n# relight installs packages: nothing may start until it is done\nexit 101\n",
                    Access{.mode = 0755, .uid = std::nullopt, .gid = std::nullopt});
  if (clusters)
    clusters_file(call_).put("create_main_cluster = false\n",
                             Access{.mode = 0644, .uid = std::nullopt, .gid = std::nullopt});
  failpoint("packages:guarded");
}

void PackageGuards::lift() {
  clusters_file(call_).undo();
  policy(call_).undo();
}

}  // namespace relight
