// A paused copy: a cluster held read-only at its moment by a quiet server that outlives the run, beside
// whatever else this host runs. It is known by its data directory, and what it was made from lies within it.
#pragma once
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/step.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {

// What a copy was made from, and where it stands: all that is needed to move it on.
struct CopyRecord {
  Wish wish;  // less where it lies
  Decision decision;
};

// What keeps a paused copy from being made at `wish.data`.
void foresee_copy(const Wish& wish, Survey& found);

// The server's settings and the record, written into the tree `folder`, which will be served as `data`.
// DURABLE
void prepare_copy(const std::string& folder, const std::string& data, const CopyRecord& record,
                  const Demands& demands);
// A refused Error where no paused copy lies there. The call outlives it.
CopyRecord read_copy(const std::string& data, const Call& call);

// What a server on it still needs of the archive: from the segment in which it stands. All before that lies
// in its own pg_wal.
std::vector<Handed> needed_from(const std::vector<Handed>& segments, Lsn stands, std::uint64_t segment_size);

// Adopts the server that runs on it, or launches one, and waits until it has paused; what it has reached is
// compared again. Never a second one.
void bring_up(const std::string& data, const CopyRecord& record, const Programs& programs, Call& call);
bool is_up(const std::string& data);
// Ends its server, and what else relight has started there as a service.
void take_down(const std::string& data, const std::optional<ContainerData>& container);

// By the private socket, as the superuser.
std::string copy_url(const std::string& data, const std::string& role, const std::string& database);

// Does the record at the stop end a server's life? Started again behind it, a server finds its goal no more.
bool stops_at_shutdown(const Programs& programs, const std::string& folder, const Stop& stop);

}  // namespace relight::postgres
