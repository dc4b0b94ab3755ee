// The parameters of a recovery, read.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/moment.h"

namespace relight::postgres {

struct Wish {
  std::string base;
  std::vector<std::string> wal;
  Moment moment;
  std::optional<sys::Time> lost_at;
  std::string data;        // a link is followed: it is the folder that is replaced
  std::string data_named;  // as the runbook and the configuration name it
  std::string config;      // empty: none is restored
  std::string config_into;
  std::map<std::string, std::string> tablespaces;  // old location or OID -> new folder
  std::string database, role;
  std::optional<std::int64_t> port;
  std::optional<int> version;
  std::optional<Timeline> timeline;
  bool replace = false;
  std::string heartbeat;     // SCHEMA.TABLE.COLUMN; empty: there is none
  std::string archive_into;  // empty: as the configuration says
  bool pause = false;        // `data` is a copy, to be held there
  bool old_wal = true;
};
Wish read_wish(const Params& params, Call& call);

}  // namespace relight::postgres
