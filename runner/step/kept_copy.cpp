#include "runner/step/kept_copy.h"

#include <unistd.h>

#include "runner/step/newer.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight {

KeptCopy::KeptCopy(Call& call, std::string target) : call_(call), move_(call, std::move(target)) {}

bool KeptCopy::whole() const {
  return move_.state() != Switch::State::nothing;
}

void KeptCopy::foresee(Preview& preview) const {
  const std::string& target = move_.target();
  if (whole()) {
    preview.verdict = Preview::Verdict::nothing_to_do;
    preview.summary = "a copy of " + target + " is kept";
    return;
  }
  if (!sys::exists(target)) {
    preview.hints.push_back("nothing lies at " + target + " now: there would be nothing to keep");
    return;
  }
  const SwitchOutlook outlook = switch_outlook(target);
  if (outlook.obstacle)
    preview.problems.push_back(*outlook.obstacle);
  else if (!outlook.hint.empty())
    preview.problems.push_back(
        {"cannot keep a copy", target, "it is a mount point",
         "keep a folder within it, or take a snapshot of the volume in a step of your own"});
  else if (access(outlook.folder.c_str(), W_OK | X_OK) != 0)
    preview.problems.push_back({"cannot write beside the target", outlook.folder, "permission denied",
                                "run the step as a user who may (`as`)"});
  const std::uint64_t bytes = sys::tree_bytes(target);
  preview.summary = "keep a copy of " + target + " (" + sys::show_size(bytes) + ")";
  preview.keeps.push_back("a copy of " + target + " (" + sys::show_size(bytes) + ")");
  preview.hints.push_back("what is stopped before stays down while it is copied");
  preview.space[outlook.folder] += bytes;
}

void KeptCopy::make() {
  if (whole() || !sys::exists(move_.target())) return;
  move_.drop_new();
  failpoint("kept_copy:begun");
  sys::copy_tree(move_.target(), move_.beside());
  failpoint("kept_copy:copied");
  call_.note(note_of_copy(), true);
  move_.mark();
}

void KeptCopy::put_back(bool made, const std::function<void(Switch&)>& from_backup) {
  switch (move_.state()) {
    case Switch::State::nothing:
      if (made && !from_backup) throw copy_is_gone(call_, move_.target(), move_.beside());
      if (made) {
        from_backup(move_);
        failpoint("kept_copy:from_backup");
        move_.mark();
        move_.commit();
        break;
      }
      move_.revert();  // a mark of the target that a killed attempt left
      move_.drop_new();
      break;
    case Switch::State::marked:
      move_.commit();
      break;
    case Switch::State::switched:
      break;
  }
}

void KeptCopy::discard() {
  if (move_.state() == Switch::State::switched) return move_.discard();
  move_.revert();
  move_.drop_new();
}

Json KeptCopy::kept() const {
  std::string path;
  if (move_.state() == Switch::State::marked) path = move_.beside();
  if (move_.state() == Switch::State::switched) path = move_.kept();
  if (path.empty()) return Json::array();
  return Json::array({{{"on", path}, {"bytes", sys::tree_bytes(path)}}});
}

bool KeptCopy::gone() const {
  return !whole() && call_.notes().contains(note_of_copy());
}

std::vector<std::string> KeptCopy::newer() const {
  if (gone()) return {move_.target() + ": " + copy_gone};
  if (move_.state() != Switch::State::marked) return {};
  const std::string told = newer_than(move_.beside(), move_.target());
  return told.empty() ? std::vector<std::string>() : std::vector{move_.target() + ": " + told + kept_aside};
}

Error copy_is_gone(const Call& call, const std::string& of, const std::string& copy) {
  return Error(ErrorKind::needs_person, "the kept copy is gone", of,
               "this run made it, and " + copy + " is not there; the step names no backup",
               "bring " + of + " back from the backup that was taken before, then `relight resume " +
                   call.run() + " --done " + call.step() + "`");
}

std::string told_instead(const std::string& of, const std::string& backup) {
  return of + ": the kept copy is gone: a rollback restores " + backup +
         ", which takes longer; what was written between then and the stop is LOST, but for what is put "
         "aside";
}

void note_instead(Call& call, const std::string& of, const std::string& backup) {
  if (!call.notes().contains(from_backup_note))
    call.note(from_backup_note, "the kept copy of " + of + " was gone: it is back from " + backup +
                                    "; what was written between then and the stop is lost, but for what was "
                                    "put aside");
}

Error no_way_back(const std::string& of, const Error& backup) {
  return Error(ErrorKind::needs_person, "the kept copy is gone, and the backup cannot stand in", of,
               backup.what(), backup.hint);
}

}  // namespace relight
