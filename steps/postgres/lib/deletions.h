// What the WAL tells of large deletes and of dropped files, so that a recovery can stop right before one.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runner/sys/text.h"
#include "steps/postgres/lib/wal.h"
#include "steps/postgres/lib/waldump.h"

namespace relight::postgres {

struct Deletion {
  Lsn before = 0;  // as a moment: all up to its commit, and that not
  sys::Time time;
  std::string what;  // "1,200 rows deleted"
};

class Deletions {
 public:
  void see(const WalRecord& record);  // every one, in order
  const std::vector<Deletion>& found() const { return found_; }

 private:
  struct Done {
    std::uint64_t rows = 0, databases = 0;
  };
  Done take(std::uint32_t xid);

  std::map<std::uint32_t, Done> open_;  // by transaction, subtransactions apart
  std::vector<Deletion> found_;
};

}  // namespace relight::postgres
