// A file or folder that a step adds where nothing was, such as a part of a backup: made beside its place,
// and given its name in one move when it is whole. What lies there already is never replaced. An undo takes
// back what is half made, and leaves the whole.
#pragma once
#include <optional>
#include <string>

#include "runner/step/call.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"

namespace relight {

class Addition {
 public:
  Addition(Call& call, std::string path);  // `path` has been through Call::place

  const std::string& path() const { return move_.target(); }
  const std::string& beside() const { return move_.beside(); }
  bool whole() const;   // made by this step, in its place or beside it
  bool placed() const;  // in its place

  // For a preview: why it cannot be made by this user, and the bytes it takes on which file system.
  void foresee(std::uint64_t bytes, Preview& preview) const;

  // Makes the parents; what an attempt left that did not get to its end is gone. A refused Error where
  // something is in the way.
  void begin();
  void mark();       // beside() is whole and synced. DURABLE
  void place();      // marked -> in its place. DURABLE
  void take_back();  // unless it is placed: nothing of it is left
  void remove();     // nothing of it is left
  void discard();    // takes the mark off; it stays

 private:
  std::optional<Problem> taken() const;

  Call& call_;
  Switch move_;
};

}  // namespace relight
