// What the contract test asks of each step type: a small target that is made afresh for every case, the
// parameters that change it, and how to look at it.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/contract/look.h"

namespace relight {

class Fixture {
 public:
  virtual ~Fixture() = default;

  virtual Json params() const = 0;
  virtual std::string as() const { return ""; }  // the user whom the step runs as; empty: our own
  virtual std::string place(const std::string& path) const { return path; }

  // The folder of the target and its neighbours; whatever lies in it is watched.
  const std::string& world() const { return folder_.path(); }
  // Its folders in which names come and go, so that their times change though nothing else does.
  virtual std::vector<std::string> busy() const { return {}; }

  // Target and neighbours. `exact`: also what a change that was taken back leaves (times, inodes).
  virtual Look look(bool exact) const { return look_at(world(), busy(), exact); }
  // Takes out of a look what StepType::stays names.
  virtual void forget_what_stays(Look&) const {}

  // Of the type's state digest what is the same in every case: not the times of a file made anew.
  virtual std::string steady_digest(const std::string& digest) const { return digest; }

  // What becomes of the world between an apply that finished and the first undo of it.
  virtual void before_undo() const {}

  // Ends in good order what the step has left running, before the rest is killed.
  virtual void put_away() const {}

  // Whether it takes seconds to find: compared where nothing else tells the end of an apply.
  virtual bool digest_is_dear() const { return false; }

  // The outputs less what differs from run to run.
  virtual Json steady(Json outputs) const { return outputs; }

  // Texts that may stand nowhere but in the target itself.
  virtual std::vector<std::string> secrets() const { return {}; }

 protected:
  std::string path(const std::string& name) const { return world() + "/" + name; }
  void write(const std::string& name, const std::string& bytes, mode_t mode = 0644) const {
    sys::write_file(path(name), bytes, mode);
  }

 private:
  sys::TempFolder folder_{in_memory()};
  static std::string in_memory();  // prepares temporary folders in memory; returns ""
};

// One fixture of a type.
struct Subject {
  std::string type, variant;
  std::function<std::unique_ptr<Fixture>()> make;
  // Of the points that are no commit points, the part that is tried without RELIGHT_TEST_ALL: one of so many.
  int one_of = 1;
  bool apart =
      false;  // checked by a test of its own, that of what the other subjects of its type do not need
};

const std::vector<Subject>& subjects();

// A family's subjects, put on the list by a static object of its file.
struct Subjects {
  Subjects(std::initializer_list<Subject> more);
};

template <class F>
Subject subject(std::string type, std::string variant, int one_of = 1) {
  return {std::move(type), std::move(variant), [] { return std::make_unique<F>(); }, one_of};
}

// Files, links and a folder that a step must not touch, hidden ones too, in `folder`.
void add_neighbours(const std::string& folder);

}  // namespace relight
