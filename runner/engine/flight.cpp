#include "runner/engine/flight.h"

#include "runner/sys/json_whole.h"

namespace relight {

Attempt& Flight::add(std::size_t step, const std::string& op, int number) {
  Attempt& attempt = active_[step];
  attempt = Attempt();
  attempt.step = step;
  attempt.op = op;
  attempt.number = number;
  attempt.params = std::make_shared<const Json>(context_.resolved_params(step));
  return attempt;
}

}  // namespace relight
