#include "steps/postgres/lib/decision.h"

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight::postgres {

Decision decide_by(const Survey& survey) {
  Decision decision{.target = *survey.target,
                    .major = survey.base->major,
                    .base = survey.base->label.empty() ? survey.base->path : survey.base->label,
                    .tablespaces = survey.tablespaces,
                    .made = {},
                    .config_from = survey.config_from};
  for (const NewTablespace& tablespace : survey.tablespaces)
    if (!sys::exists(tablespace.folder)) decision.made.push_back(tablespace.folder);
  return decision;
}

Json to_json(const Decision& decision) {
  Json tablespaces = Json::array();
  for (const NewTablespace& t : decision.tablespaces)
    tablespaces.push_back({{"oid", t.oid}, {"was", t.was}, {"folder", t.folder}});
  return {
      {"target", to_json(decision.target)}, {"major", decision.major}, {"base", decision.base},
      {"tablespaces", tablespaces},         {"made", decision.made},   {"config_from", decision.config_from}};
}

Decision decision_from_json(const Json& json) {
  Decision decision;
  decision.target = target_from_json(json.at("target"));
  decision.major = json.at("major").get<int>();
  decision.base = json.value("base", "");
  for (const Json& t : json.at("tablespaces"))
    decision.tablespaces.push_back({t.at("oid"), t.at("was"), t.at("folder")});
  decision.made = json.at("made").get<std::vector<std::string>>();
  decision.config_from = json.at("config_from").get<std::string>();
  return decision;
}

}  // namespace relight::postgres
