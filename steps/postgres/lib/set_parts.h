// What a recovery set holds of a database: its dump, its base backup, and the WAL that leads on from it.
#pragma once
#include "runner/step/recovery_set.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {

// "database": {"dump": PATH}: read to its table of contents, with `every_byte` to its end.
void verify_dump_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report);

// "database": {"base": {"path": PATH} or PATH, "wal": [PATH...]}, without "wal" the folder wal of the set:
// every record from the base backup to the end of the archive is read. "repository": {"pgbackrest":
// {"stanza", ...}} or {"barman": {"server", ...}} takes the place of both, its relative paths below the set.
void verify_base_part(const RecoverySet& set, bool every_byte, Call& call, SetReport& report);

// The base backup and the WAL that the set tells of, to be recovered to `latest`; none: an empty `base`.
Wish wish_of(const RecoverySet& set);

}  // namespace relight::postgres
