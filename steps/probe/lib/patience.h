// How long a probe asks, how often, and what counts as passed.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/sys/error.h"

namespace relight {

struct Patience {
  std::chrono::milliseconds within{0};  // the last moment at which a row of good answers may begin
  std::chrono::milliseconds every{500};
  int consecutive = 1;                // good answers in a row
  std::chrono::milliseconds hold{0};  // for so long nothing but good answers
};

// Good answers in a row, counted. Pure: the time is told to it.
class Streak {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Verdict { go_on, passed, failed };

  Streak(const Patience& patience, Time begun) : patience_(patience), begun_(begun) {}
  Verdict saw(bool good, Time now);
  bool was_good_once() const { return was_good_once_; }

 private:
  Patience patience_;
  Time begun_, first_good_{};
  int good_ = 0;
  bool was_good_once_ = false;
};

// The fields within, every, consecutive and hold.
std::vector<Field> patience_fields(const std::string& within_by_default);
Patience patience_of(const Params& params);  // throws a refused Error for what can never pass
std::string show(const Patience& patience);  // ", within 2m, held for 20s"

// Thrown while asking: waiting does not mend it.
struct Hopeless {
  Error error;
};

// Asks until it has passed, and returns how long that took. `ask` returns why an answer is not good, or
// nothing. An Error that is not refused counts as such an answer too. Throws a permanent Error with what was
// seen last. Asks once where attempt() is 0.
std::chrono::milliseconds ask_until_passed(Call& call, const Patience& patience, const std::string& on,
                                           const std::string& hint, const std::function<std::string()>& ask);

}  // namespace relight
