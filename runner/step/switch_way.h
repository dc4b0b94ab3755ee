// The two ways in which a switch is made. Not for other rooms: see switch.h.
#pragma once
#include <memory>
#include <string>

#include "runner/step/switch.h"

namespace relight {

class Switch::Way {
 public:
  Way(Call& call, std::string target, std::string beside)
      : call_(call), target_(std::move(target)), beside_(std::move(beside)) {}
  virtual ~Way() = default;

  const std::string& target() const { return target_; }
  const std::string& beside() const { return beside_; }
  virtual State state() const = 0;
  virtual bool had_old() const = 0;
  virtual std::string old_place() const = 0;  // where the old data lies when switched
  virtual void prepare() {}
  virtual void mark() = 0;
  virtual void commit() = 0;
  virtual void revert() = 0;
  virtual void discard() = 0;
  virtual void drop_new() = 0;

 protected:
  std::string new_mark() const { return "new " + call_.run() + " " + call_.step(); }
  std::string old_mark() const { return "old " + call_.run() + " " + call_.step(); }

  Call& call_;
  const std::string target_, beside_;
};

// Noted before a mount point is marked: found unmounted later, it is not taken for another target.
inline std::string note_of_entries(const std::string& target) {
  return "entry by entry: " + target;
}

std::unique_ptr<Switch::Way> by_exchange(Call& call, std::string target, std::string beside);
std::unique_ptr<Switch::Way> by_entries(Call& call, std::string target);

}  // namespace relight
