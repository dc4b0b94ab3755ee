// One attempt of a recovery, from the decision to the switch, and its way back.
//
// All of it is made beside the target and is whole, compared and cleanly shut down before the one switch
// that makes it current. The phases, each noted when it is durable, so that a later attempt goes on behind
// it:
//
//   decided   where to stop, as a WAL position; the new tablespaces' folders
//   unpacked  the base backup lies beside, every file checked; the server may be started on it
//   reached   the server has paused at the position, and what it told was what was asked
//   stopped   it was promoted, the database opens, it is shut down
//   ready     its own settings are back, all is synced, the configuration lies beside its target
//   COMMIT POINT: the data directory is switched; then the configuration folder
//
// With action = "pause" it is held at "reached": not promoted, its own settings not put back, and served in
// its place as a paused copy (copy.h) behind the commit point.
#pragma once
#include <optional>
#include <string>

#include "runner/step/switch.h"
#include "steps/postgres/lib/decision.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {

// What the methods of the step do; each converges.
class Recovery {
 public:
  Recovery(Wish wish, Call& call);
  // From a paused copy, which is taken from `copy` in place of a base backup, and given back by undo: paused
  // still, or else promoted.
  Recovery(Wish wish, Call& call, std::string copy);

  Json apply();
  void undo();
  void discard();
  void settle();
  Json kept() const;
  bool done() const;  // its outputs are noted then

 private:
  bool noted(const char* phase) const;
  void decide();
  void unpack();
  void take_copy();
  void give_copy_back();
  void clear();
  void prove_start() const;
  void replay();
  void make_ready();
  void turn_archive();
  Programs programs() const { return programs_of(wish_); }
  Programs programs_of(const Wish& wish) const;

  Call& call_;
  Wish wish_;
  const std::string copy_;  // empty: from the base backup
  Switch data_;
  std::optional<Switch> config_;
  const std::string beside_;
  std::string config_home_;
  Decision decision_;
};

}  // namespace relight::postgres
