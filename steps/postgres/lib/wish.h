// The parameters of a recovery, read.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/sys/json.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/container_data.h"
#include "steps/postgres/lib/moment.h"
#include "steps/postgres/lib/programs.h"

namespace relight::postgres {

// A repository that another tool keeps: what takes the place of `base` and `wal`.
struct RepositoryWish {
  std::string tool;        // "pgbackrest" "barman"
  std::string name;        // pgBackRest's stanza, Barman's server
  std::string config;      // the tool's configuration; empty: its own default
  std::string path;        // of pgBackRest: the repository's folder; empty: as the configuration says
  std::int64_t repo = 0;   // of pgBackRest: which of several; 0: all
  std::string set;         // the one backup that may be taken; empty: any
  std::string host = {};   // of Barman: where it runs, as ssh takes it; empty: here
  std::string login = {};  // of an SshLogin to `host`: its socket; empty: each command logs in

  std::string text() const;  // "pgbackrest main"
};

struct Wish {
  std::string base;
  std::optional<RepositoryWish> repository;
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
  std::optional<ContainerData>
      container;               // that serves it, or whose image; `data` is its folder on this host
  const Call* call = nullptr;  // where there is one: outlives the wish

  bool has_base() const { return repository || !base.empty(); }
  std::string source() const { return repository ? repository->text() : base; }  // for people
  // Where Debian has the configuration of such a data directory; empty: nowhere, or in a container.
  std::string config_outside() const;
  // To begin with this one and no other: a path, or its label in the repository.
  void begin_with(const std::string& chosen) { (repository ? repository->set : base) = chosen; }
};
Wish read_wish(const Params& params, Call& call);

// A refused Error for what only a cluster of this host has: `config`, `port`, and the like.
void refuse_in_container(const Params& params);

// As pgbackrest{ ... } or barman{ ... } gives it: {"pgbackrest": {"stanza": ...}}, and back.
RepositoryWish repository_from_json(const Json& json);
Json to_json(const RepositoryWish& repository);

// The programs that the cluster is recovered by: its container's image's, else this host's.
std::optional<Programs> programs_for(const Wish& wish, int major);
// A permanent Error where there are none.
Programs need_programs(const Wish& wish, int major, const char* what_failed);

}  // namespace relight::postgres
