// Where a recovery is to stop, and what the server must say when it has.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "steps/postgres/lib/archive.h"
#include "steps/postgres/lib/settings.h"

namespace relight::postgres {

struct Target {
  Stop stop;
  Lsn after = 0, upto = 0;       // the position replayed lies in (after, upto]
  std::string last_commit;       // ISO 8601; empty: no transaction was committed on the way
  std::string last_end;          // the last commit or abort that the server will tell of; empty: none
  std::vector<Handed> segments;  // what the server may have of the archive
  Demands raised;                // by changes of settings on the way
};
Json to_json(const Target& target);
Target target_from_json(const Json& json);

}  // namespace relight::postgres
