// The switch: the one move that makes the new data current, and its way back.
//
// After prepare() the new data is made at beside(); mark() says that it is whole; commit() makes it the
// target and puts the old data aside. Every call converges: killed at any instant and called again, it ends
// in the same state. Works for folders and files; a symbolic link cannot bear a marker, and tells by its own
// text (see release.pin).
//
// It is made in one of two ways:
// - By one exchange (or a rename where there is no target), atomic: the old data then lies at beside(). Which
// of
//   the two lies where is decided by a marker on each tree, never by counting.
// - A folder that is a mount point keeps its place, and its entries are moved one by one, with the owner
//   stopped: resumable, not atomic. New and old lie in a hidden folder within it, whose marker tells how far
//   it is.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "runner/step/call.h"
#include "runner/step/step.h"

namespace relight {

// How a target would be switched, found out by looking only.
struct SwitchOutlook {
  std::string folder;               // the new data is made in it, which must be writable and pays for it
  std::optional<Problem> obstacle;  // why this target cannot be switched by this user
  std::string hint;                 // "not atomic: ..." for the plan; empty: one atomic move
};
SwitchOutlook switch_outlook(const std::string& target);

class Switch {
 public:
  enum class State {
    nothing,  // beside() is absent, or an unfinished tree without a marker
    marked,   // the new data is whole and not current: the target is as it was, or its entries are half moved
    switched,  // the new data is the target; the old is kept, unless there was none
  };

  // `beside`: another place than call.beside(target), on the same file system; its folder is the caller's. A
  // mount point's own place is within it, whatever is said here.
  Switch(Call& call, std::string target, std::string beside = "");
  Switch(Switch&&) noexcept;
  ~Switch();

  const std::string& target() const;
  const std::string& beside() const;
  State state() const;
  bool had_old() const;  // when switched: was there a target before?

  void prepare();   // nothing was made yet: notes what only now can be told of the target. DURABLE
  void mark();      // beside() is whole and synced: marks it and the old. DURABLE
  void commit();    // marked -> switched; nothing to do when switched. DURABLE
  void revert();    // to the target as it was, the new data at beside(). DURABLE
  void discard();   // frees the old data and takes the marker off the target
  void drop_new();  // not switched: frees what lies at beside()

  std::string kept() const;  // the old data's path when it is there, else ""

  class Way;

 private:
  std::unique_ptr<Way> way_;
};

}  // namespace relight
