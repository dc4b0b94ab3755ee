// Restores of dumps by relight against pg_restore, on real servers with the disk's own sync.
#pragma once

namespace relight::bench {

// 200 tables with indexes by postgres.load, the last sync included, against initdb, pg_restore -j2 and
// vacuumdb --analyze-only -j2 on default settings.
int dump_many();
int dump_one();     // one huge table, the same
int resume_dump();  // many tables by postgres.restore: killed at 90 % of them, its resume against the whole
                    // run

}  // namespace relight::bench
