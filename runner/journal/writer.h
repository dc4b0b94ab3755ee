// The one writer of a journal. Records wait until flush(), which writes them as one batch, syncs once, and
// then runs what waited for them: no byte of a batch is written before the sync of the one before returned.
// After a failed write or sync the journal is dead: every later add, flush and reserve throws the same Error,
// and what waited is never released. One thread's: the engine's loop.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runner/journal/file.h"
#include "runner/sys/json.h"

namespace relight {

struct JournalEnd {  // where the next record continues
  std::uint64_t seq = 0, batch = 0;
  std::string hash = std::string(64, '0');
};

class JournalWriter {
 public:
  JournalWriter(std::unique_ptr<JournalFile> file, JournalEnd end);
  ~JournalWriter();

  // `released` is called from flush(), after the sync, in the order of adding. It may add further records:
  // they wait for the next flush. When one throws, the others still run; then flush() throws what it threw.
  void add(const Json& body, std::function<void()> released = {});
  bool empty() const;
  void flush();  // nothing waits: nothing is done

  // Room for what a step must still record, taken before it starts and given back when it has ended. Throws
  // when the disk is full: then nothing was taken, and the journal is as good as it was.
  void reserve(std::uint64_t bytes);
  void give_back(std::uint64_t bytes);

  std::uint64_t syncs() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace relight
