// The switch: the one atomic move that makes the new data current, and its way back.
//
// The new data is made at beside(); mark() says that it is whole; commit() exchanges it with the target (or
// renames it where there is none); the old data then lies at beside(). Which of the two lies where is decided
// by a marker on each tree, never by counting. Works for folders and files; a symbolic link cannot bear a
// marker, and tells by its own text (see release.pin). Every call converges: killed at any instant and called
// again, it ends in the same state.
#pragma once
#include <string>

#include "runner/step/call.h"

namespace relight {

class Switch {
 public:
  enum class State {
    nothing,   // beside() is absent, or an unfinished tree without a marker
    marked,    // the new data lies whole at beside(), the target is as it was
    switched,  // the new data is the target; the old lies at beside(), unless there was none
  };

  // `beside`: another place than call.beside(target), on the same file system; its folder is the caller's.
  Switch(Call& call, std::string target, std::string beside = "");

  const std::string& target() const { return target_; }
  const std::string& beside() const { return beside_; }
  State state() const;
  bool had_old() const;  // when switched: was there a target before?

  void mark();      // beside() is whole and synced: marks it and the old. DURABLE
  void commit();    // marked -> switched; nothing to do when switched. Atomic, DURABLE
  void revert();    // switched -> marked; nothing to do otherwise. Atomic, DURABLE
  void discard();   // frees what lies at beside() and takes the marker off the target
  void drop_new();  // not switched: frees what lies at beside()

  std::string kept() const;  // the old data's path when it is there, else ""

 private:
  Call& call_;
  std::string target_, beside_;
};

}  // namespace relight
