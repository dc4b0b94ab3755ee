// Reads a journal back, and tells a torn end (an honest power cut) from damage.
//
// A batch is whole or it is not there: no step goes on before the sync of its batch, so nothing rests on the
// records of a half one. The records are those of the longest chain of whole batches. What follows is torn
// when it can be the one batch whose sync never returned: its first bad line has no newline or holds NULs
// (ext4 shows lost sectors so), and no record of a later batch, whole by its own hash, stands in it. All else
// is damage. A flip of a bit in the last batch can look like a tear; a journal that has ended is sealed
// against that.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/journal/writer.h"
#include "runner/sys/error.h"
#include "runner/sys/json.h"

namespace relight {

struct JournalRead {
  std::vector<Json> records;  // of the longest valid chain of whole batches
  JournalEnd end;
  std::uint64_t valid_bytes = 0;
  bool torn = false;    // something unreadable of the last batch follows: dropped by mend_journal()
  bool sealed = false;  // and the seal fits
};

// Throws a needs_person Error for damage (which record, which byte, what to do), for a seal that does not
// match, for an unknown format; a refused one when there is no journal. An empty journal is one of no
// records.
JournalRead read_journal(const std::string& path);
JournalRead read_journal_text(std::string_view bytes,
                              const std::string& on);  // the same, for bytes at hand, without a seal

// For who only looks: the valid part of a damaged journal, and the Error that read_journal throws.
struct JournalSurvey {
  JournalRead read;
  std::optional<Error> damage;
};
JournalSurvey survey_journal(
    const std::string& path);  // throws only when there is no journal, or it cannot be read

// After a torn end or a failed sync: the valid prefix copied to a new file, synced, renamed over. DURABLE
void mend_journal(const std::string& path, const JournalRead& read);

// A journal that has ended is sealed by PATH.seal with its length and hash; unsealed before it goes on.
// DURABLE
void seal_journal(const std::string& path);
void unseal_journal(const std::string& path);

}  // namespace relight
