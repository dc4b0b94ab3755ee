// The settings of a cluster, carried over to the one that takes its place.
#pragma once
#include <string>

namespace relight::postgres {

// What lies in the data directory `was`: postgresql.conf and its neighbours, certificates, conf.d, and
// postgresql.auto.conf less what steers a recovery. Where they lie outside of it, those in `folder` would be
// in the way, and are taken away. `was` may be no cluster, or not there: `folder` stays as it is.
void take_settings_over(const std::string& was, const std::string& folder);

}  // namespace relight::postgres
