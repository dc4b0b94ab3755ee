// The replay: the quiet server brought to the stop, what it reached compared with what was asked, promoted,
// looked into and shut down.
#pragma once
#include <string>

#include "runner/step/call.h"
#include "runner/sys/json.h"
#include "runner/sys/sql.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/programs.h"

namespace relight::postgres {

// What a recovery must have reached against what it has: a permanent Error says how they differ. `last_end`:
// of the last transaction that the server tells of; empty: it tells of none.
void compare_reached(const Target& target, Lsn reached, const std::string& last_end);

// The same from the new timeline's history, which says where it left which timeline. Returns the position.
Lsn compare_history(const Target& target, Timeline timeline, const std::string& history,
                    const std::string& on);

// The same of a server that has paused, as it tells itself; once promoted it tells no more. `read`: the
// highest timeline of which it was seen to read. Returns {"lsn", "last_end", "timeline"}.
Json compare_paused(sys::Sql& sql, Timeline read, const Target& target);

struct Replayed {
  Lsn lsn = 0;
  Timeline timeline = 0;  // that the cluster is on now
};

// The newest value of the heartbeat that was noted, in ISO 8601; empty: unknown.
std::string told_heartbeat(const Call& call);
// What the quiet server was kept from, by its catalog (quieted.h), as noted.
Json told_quieted(const Call& call);

// SCHEMA.TABLE.COLUMN as the query for its newest value; another text: a refused Error.
std::string heartbeat_query(const std::string& heartbeat);

// On a tree that make_tree has made, or that an earlier attempt has left anywhere in here. Notes "reached"
// before the server is promoted. The cluster is cleanly shut down on return.
Replayed replay(const Wish& wish, const Decision& decision, const Programs& programs,
                const std::string& folder, Call& call);

// The same up to the pause, and no further: the cluster recovers on when it is started again.
Replayed replay_to_pause(const Wish& wish, const Decision& decision, const Programs& programs,
                         const std::string& folder, Call& call);

}  // namespace relight::postgres
