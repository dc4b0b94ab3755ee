#include "runner/step/addition.h"

#include <unistd.h>

#include "runner/step/parents.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"

namespace relight {

Addition::Addition(Call& call, std::string path) : call_(call), move_(call, std::move(path)) {}

bool Addition::whole() const {
  return move_.state() != Switch::State::nothing;
}

bool Addition::placed() const {
  return move_.state() == Switch::State::switched;
}

std::optional<Problem> Addition::taken() const {
  if (!whole() && sys::exists(path()))
    return Problem{"it would replace what is there", path(), "something lies there already",
                   "name another place, or move it away: this step replaces nothing"};
  return std::nullopt;
}

void Addition::foresee(std::uint64_t bytes, Preview& preview) const {
  if (const auto problem = taken()) preview.problems.push_back(*problem);
  std::string folder = sys::parent_of(path());
  while (!sys::exists(folder)) folder = sys::parent_of(folder);
  if (!sys::is_folder(folder))
    preview.problems.push_back(
        {"cannot make the folder", path(), folder + " is not a folder", "correct `into`"});
  else if (access(folder.c_str(), W_OK | X_OK) != 0)
    preview.problems.push_back({"cannot write there", folder, "permission denied",
                                "run the step as a user who may (`as`), or make the folder that user's own"});
  preview.space[folder] += bytes;
}

void Addition::begin() {
  if (const auto problem = taken())
    throw Error(ErrorKind::refused, problem->what, problem->on, problem->why, problem->hint);
  make_parents(call_, path());
  move_.drop_new();
}

void Addition::mark() {
  move_.mark();
}

void Addition::place() {
  move_.commit();
}

void Addition::take_back() {
  if (placed()) return;
  move_.drop_new();
  remove_made_parents(call_);
}

void Addition::remove() {
  move_.revert();
  take_back();
}

void Addition::discard() {
  move_.discard();
}

}  // namespace relight
