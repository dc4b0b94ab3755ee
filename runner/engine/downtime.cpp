#include "runner/engine/downtime.h"

#include <utility>

#include "runner/sys/text.h"

namespace relight {

using std::chrono::milliseconds;

void Watched::process_gone(const std::string& last_wall) {
  if (up == true) blind_from = last_wall;
}

// It may have been up while nobody looked: told as down all the same, never as up without a look.
void Watched::answers_no_more(const std::string& from) {
  const std::string blind = std::exchange(blind_from, "");
  up = false;
  if (lasts()) return;
  outages.emplace_back();
  outages.back().from = blind.empty() ? from : blind;
}

void Watched::answers_again(const std::string& from, const std::string& to,
                            std::optional<milliseconds> length, bool in_rollback) {
  blind_from.clear();
  up = true;
  if (!lasts()) return;
  Outage& outage = outages.back();
  outage.to = to;
  outage.in_rollback = in_rollback;
  const auto began = sys::parse_time(outage.from), ended = sys::parse_time(to);
  // One process measured it whole, or it is known by the clock alone.
  if (length && outage.from == from)
    outage.length = *length;
  else if (began && ended && *ended > *began)
    outage.length = std::chrono::duration_cast<milliseconds>(*ended - *began);
}

}  // namespace relight
