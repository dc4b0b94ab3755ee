// One case of the crash matrix: a run of the real program that is disturbed, gone on with and taken back, and
// what must hold of it.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "tests/matrix/crashing.h"
#include "tests/matrix/world.h"

namespace relight {

// A case that does not hold.
struct Broken {
  std::string why;
};

// Where a case lies, and how its power is cut.
struct Place {
  std::string world, state;
  std::vector<std::string> file_systems = {};  // that lose their power; none: no power cuts
  std::function<void()> come_back = {};        // after a power cut: what is on the disks is there again
};

// What a run that nothing disturbed ends with.
struct Whole {
  Look world;
  std::map<std::string, std::string> steps;  // state and outputs of each
  std::set<std::string> effects;             // the steps that tell what they do
};

class Case {
 public:
  // The world and the state folder are made afresh.
  Case(const Outside& outside, Place place);

  // Each throws Broken where something does not hold at once. They return what the fault struck; "": nothing.
  std::string run(const Crash& crash = {});
  std::string resume(const Crash& crash = {});  // once; a run that was never made is begun
  std::string rollback(const Crash& crash = {});

  // Resumes as a person would, until the run has ended.
  void to_the_end();
  // The same for one that is rolled back.
  void back_to_the_start();

  void need_exit(int code) const;  // of the last start
  Whole whole() const;             // as it is now
  void check_done(const Whole& wanted) const;
  void check_undone() const;  // the world is as it was, and every effect was undone
  std::vector<Pass> passes() const { return crashing_.passes(); }
  bool run_was_made() const;

 private:
  std::string go(std::vector<std::string> args, const Crash& crash);
  int decide();
  std::string begin(const Crash& crash);
  RunRecord record() const;
  std::string plain(std::string text) const;
  void check_effects(bool undone) const;
  void tear_journal() const;
  std::string run_folder() const;

  const Outside& outside_;
  Place place_;
  Crashing crashing_;
  Look before_;
  std::vector<sys::ProcStat> left_;  // by the attempt before
  std::string told_;                 // by the last start of the program
  int exit_ = 0;
};

}  // namespace relight
