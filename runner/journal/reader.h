// Reads a journal back, and tells a torn end (an honest power cut) from damage.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runner/journal/writer.h"
#include "runner/sys/json.h"

namespace relight {

struct JournalRead {
  std::vector<Json> records;  // the longest valid chain
  JournalEnd end;
  std::uint64_t valid_bytes = 0;
  bool torn = false;  // something unreadable of the last batch follows: dropped by mend()
  bool sealed = false;
};

// Throws a needs_person Error for damage (which record, which byte, what to do), for a seal that does not
// match, for an unknown format; a refused one when there is no journal.
JournalRead read_journal(const std::string& path);
JournalRead read_journal_text(std::string_view bytes, const std::string& on);  // the same, for bytes at hand

// After a torn end or a failed sync: the valid prefix copied to a new file, synced, renamed over. DURABLE
void mend_journal(const std::string& path, const JournalRead& read);

// A journal that has ended is sealed by PATH.seal with its length and hash; unsealed before it goes on.
// DURABLE
void seal_journal(const std::string& path);
void unseal_journal(const std::string& path);

}  // namespace relight
