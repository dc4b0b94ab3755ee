// What the first attempt of a recovery decided, and every later one keeps to: an archive that grows does not
// move the goal of a resumed run.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {

struct Decision {
  Target target;
  int major = 0;
  std::string base;  // the one that was chosen: its path, or its label in the repository
  std::vector<NewTablespace> tablespaces;
  std::vector<std::string> made;  // folders of them that were not there before
  std::string config_from;        // empty: no configuration is restored
};

Decision decide_by(const Survey& survey);  // which has a target and no problem
Json to_json(const Decision& decision);
Decision decision_from_json(const Json& json);

}  // namespace relight::postgres
