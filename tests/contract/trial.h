// One fixture with what a run keeps for its step: notes, log and outputs, over attempts that are killed.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "runner/step/redactor.h"
#include "runner/sys/proc.h"
#include "tests/contract/fixture.h"
#include "tests/support/crash.h"

namespace relight {

// A case that does not hold.
struct Broken {
  std::string why;
};
void hold(bool good, const std::string& why);

// What a case compares.
struct Seen {
  Look look;
  std::string digest;  // the type's own
};

class Trial {
 public:
  explicit Trial(const Subject& subject);
  ~Trial();
  Trial(const Trial&) = delete;

  // Each runs in a process of its own, which `watch` may kill; processes that a killed one leaves are ended,
  // as the engine ends them. Fails where anything of a secret was told.
  Outcome preview(bool full);
  Outcome apply(FailpointWatch watch = {});
  Outcome resume(FailpointWatch watch = {});  // a later attempt: settle, check, and apply unless it is done
  Outcome undo(bool finished, FailpointWatch watch = {});
  Outcome discard(FailpointWatch watch = {});
  Json kept();
  bool whole_undo() const { return type_.undo == Undo::whole; }

  // As they are now; paths and names that differ from case to case are taken out.
  Seen state(bool exact = false);  // without the digest where that is dear
  std::string digest();
  Json steady(const Json& outputs) const;
  const Fixture& fixture() const { return *fixture_; }

 private:
  using Act = std::function<Json(const Step&, const Params&, Call&)>;
  Outcome act(const std::string& what, const Act& act, FailpointWatch watch, bool preview = false,
              bool full = false);
  std::string plain(std::string text) const;
  std::vector<sys::ProcStat> strays() const;
  void end_strays();
  void check_untold(const std::string& what, const Outcome& outcome) const;

  const StepType& type_;
  std::unique_ptr<Fixture> fixture_;
  sys::TempFolder kept_;  // notes and log
  std::string step_;
  Redactor secrets_;
  std::set<int> ours_;  // processes that are the fixture's
  Json outputs_;        // of the apply that finished, else null
  bool undone_ = false;
};

}  // namespace relight
