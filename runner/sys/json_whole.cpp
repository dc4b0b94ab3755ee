#include "runner/sys/json_whole.h"

template class nlohmann::basic_json<>;

namespace relight::sys {

Json parse_json(std::string_view text) {
  constexpr int deepest = 200;
  bool too_deep = false;
  Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > deepest;
        return !too_deep;
      },
      false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

}  // namespace relight::sys
