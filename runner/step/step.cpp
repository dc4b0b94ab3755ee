#include "runner/step/step.h"

#include "runner/sys/json_whole.h"

namespace relight {

Done Step::check(const Params&, Call&, Json&) const {
  return Done::unknown;
}
void Step::undo(const Params&, Call&, const Json*) const {}
void Step::discard(const Params&, Call&, const Json*) const {}
Json Step::kept(const Params&, Call&, const Json*) const {
  return Json::array();
}
std::vector<std::string> Step::newer(const Params&, Call&, sys::Time) const {
  return {};
}
std::string Step::look(const Params&, Call&) const {
  return "it cannot watch";
}
void Step::settle(const Params&, Call&) const {}
std::optional<Child> Step::child(const Params&) const {
  return std::nullopt;
}
Json Step::child_done(const Params&, int, const std::string&) const {
  return Json::object();
}

}  // namespace relight
