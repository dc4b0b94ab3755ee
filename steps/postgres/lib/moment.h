// Where a recovery stops, as asked, and the search for it in the records of the WAL.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "runner/sys/text.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/wal.h"
#include "steps/postgres/lib/waldump.h"

namespace relight::postgres {

struct Moment {
  enum class Kind { latest, time, lsn, xid, name } kind = Kind::latest;
  std::string text;  // as asked
  sys::Time time;
  Lsn lsn = 0;
  std::uint32_t xid = 0;
  std::string name;
  bool inclusive = true;  // of a time, a position and a transaction: what is of that very moment stays
  bool past_end = false;  // a time after the last commit stands for all that there is
};
Moment parse_moment(const std::string& text);  // the schema has checked it; else a refused Error
std::string shown(const Moment& moment);       // a time in UTC

// The end of a transaction, in that record.
struct TransactionEnd {
  bool commit = false;
  std::uint32_t xid = 0;
  sys::Time time;
};
std::optional<TransactionEnd> transaction_end(const WalRecord& record);

// Sees the Transaction and XLOG records in their order and finds where to stop. For `latest` and a position
// all of them are seen, up to the position.
class MomentSearch {
 public:
  explicit MomentSearch(const Moment& moment) : moment_(moment) {}

  bool see(const WalRecord& record);  // true: no further record matters

  // A time, a transaction, a name, or a position that is to be stopped before, once found.
  struct Found {
    Lsn lsn = 0;
    bool inclusive = true;
    Lsn previous = 0;  // where the record before it begins
  };
  const std::optional<Found>& found() const { return found_; }
  std::optional<sys::Time> first_commit, last_commit;  // of what was seen before the stop
  // Where the clock went back these are later than the last ones.
  std::optional<sys::Time> latest_commit, latest_end;
  // The last commit or abort, and the one before it.
  struct End {
    Lsn lsn = 0;
    sys::Time time;
  };
  std::optional<End> last_end, end_before;
  std::optional<Lsn> before_minimal;  // the record before one that says wal_level=minimal
  Demands raised;                     // by changes of settings on the way

 private:
  void take(Lsn lsn, const TransactionEnd& end);
  const Moment moment_;
  std::optional<Found> found_;
};

}  // namespace relight::postgres
