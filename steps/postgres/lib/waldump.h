// pg_waldump: reads every record of a stretch of WAL, and checks each one's CRC.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "steps/postgres/lib/programs.h"
#include "steps/postgres/lib/wal.h"

namespace relight::postgres {

// One line of it.
struct WalRecord {
  std::string manager;  // "Transaction" "XLOG"
  std::uint32_t xid = 0;
  Lsn lsn = 0;
  Lsn previous = 0;  // where the record before it begins
  std::string text;  // "COMMIT 2026-11-21 10:58:01.016759 UTC"
};
std::optional<WalRecord> parse_record(const std::string& line);  // nothing: another line

// Why it stopped before the end.
struct WalComplaint {
  std::optional<Lsn> last;  // the last record that is whole
  std::optional<Lsn> at;    // where the fault is
  std::string why;
};
WalComplaint parse_complaint(const std::string& text, std::uint64_t segment_size);

class Waldump {
 public:
  // Segments are read from `folder`, where all are named as of one timeline. `complaints`: a file for its
  // errors.
  Waldump(const Programs& programs, std::string folder, Timeline timeline, std::string complaints,
          std::function<bool()> stop);

  enum class Of { all, transactions_and_xlog };
  // Shows the records in [from, to) until `see` says true. Returns its complaint when it could not read on.
  std::optional<std::string> read(Lsn from, Lsn to, Of of,
                                  const std::function<bool(const WalRecord&)>& see) const;

 private:
  const Programs& programs_;
  const std::string folder_;
  const Timeline timeline_;
  const std::string complaints_;
  const std::function<bool()> stop_;
};

}  // namespace relight::postgres
