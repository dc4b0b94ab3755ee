// A copy of a folder or file as it is now, for an undo: the switch of switch.h made ready beforehand, and
// thrown by the way back.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/sys/error.h"
#include "runner/sys/json.h"

namespace relight {

class KeptCopy {
 public:
  KeptCopy(Call& call, std::string target);  // `target` has been through Call::place

  // What a copy would take, and what is in its way; nothing there: nothing to do.
  void foresee(Preview& preview) const;
  bool whole() const;  // the copy is there, or was put back

  // Copies the target; what writes there has been stopped. Shares the blocks where the file system can.
  // Nothing there: nothing to keep. Converges. DURABLE
  void make();
  // The copy is the target, and what was the target since lies where the copy lay. A copy that is not whole
  // is removed. One that make() has `made` and that is gone is made anew by `from_backup`, which leaves it
  // whole at Switch::beside(), or is an Error. Converges. DURABLE
  void put_back(bool made, const std::function<void(Switch&)>& from_backup = {});
  void discard();                          // frees the copy, or what came after it
  Json kept() const;                       // as Step::kept
  bool gone() const;                       // it was made, and is neither there nor put back
  std::vector<std::string> newer() const;  // as Step::newer; also that the copy is gone

 private:
  std::string note_of_copy() const { return "copied " + move_.target(); }

  Call& call_;
  Switch move_;
};

// Of an undo that finds nothing to put back, though the step had made it.
Error copy_is_gone(const Call& call, const std::string& of, const std::string& copy);
inline constexpr const char* copy_gone =
    "the kept copy is gone: a rollback stops there, and needs the backup";

// A backup that stands in for a copy that is gone. `of`: what was copied; `backup`: as it is told, with its
// time.
std::string told_instead(const std::string& of, const std::string& backup);  // as a line of Step::newer
// Noted by an undo before it takes the backup, for whoever reads of the rollback afterwards.
inline constexpr const char* from_backup_note = "from backup";
void note_instead(Call& call, const std::string& of, const std::string& backup);
// Of a backup that cannot stand in either: only a person can go on.
Error no_way_back(const std::string& of, const Error& backup);

}  // namespace relight
