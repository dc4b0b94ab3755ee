// What probes that watch have told, folded into the times in which a service did not answer. Pure.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace relight {

// A time in which a probe that watches had no good answer: from the last one to the next.
struct Outage {
  std::string from, to;                 // to: empty as long as it lasts, as far as is known
  std::chrono::milliseconds length{0};  // once it is over
  bool in_rollback = false;             // it ended in a rollback
};

struct Watched {
  std::optional<bool> up;  // as seen last; nothing: nobody looks
  std::string blind_from;  // its process was gone from here on, and it was up then
  std::vector<Outage> outages;

  void process_gone(const std::string& last_wall);  // a later one goes on; `last_wall`: of its last record
  void answers_no_more(const std::string& from);    // from: of the last good answer that the process saw
  // `from` and `length`: as its process measured it, where one did.
  void answers_again(const std::string& from, const std::string& to,
                     std::optional<std::chrono::milliseconds> length, bool in_rollback);

 private:
  bool lasts() const { return !outages.empty() && outages.back().to.empty(); }
};

}  // namespace relight
