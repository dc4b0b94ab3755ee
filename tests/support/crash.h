// Crashes of single steps: a child that is killed at a failpoint, and a call whose notes outlive it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runner/sys/json_whole.h"
#include "tests/support/failpoint.h"
#include "tests/support/test_call.h"

namespace relight {

// Notes are kept in a file: a call made anew for the same file is a later attempt. A note is a point before
// it is durable ("call:note") and after ("call:noted").
class DurableCall : public TestCall {
 public:
  DurableCall(std::string step, std::string notes_file, std::string run = "20261121-102600-test");
  void note(const std::string& key, const Json& value) override;

 private:
  std::string file_;
};

// What became of a call that ran in a child of the test.
struct Outcome {
  Json value;         // what it returned
  std::string error;  // "" or "WHAT: ON: WHY"
  std::string hint;
  bool relights = true;       // the error was an Error, as every step's must be
  bool killed = false;        // at the failpoint that it was to die at
  std::vector<Point> points;  // that it passed, where it was not killed
};

// Runs `act` in a forked child, as the user `as` (empty: our own).
Outcome in_child(const std::string& as, const std::function<Json()>& act, FailpointWatch watch = {});

// The names of the failpoints that `act` passes, in order, each once, from a forked child. An exception that
// leaves `act` is a failed test.
std::vector<std::string> failpoints_of(const std::function<void()>& act);

// Runs `act` in a forked child that is killed when it reaches the failpoint; false: it ended without. An
// exception that leaves `act` is a failed test.
bool killed_at(const std::string& failpoint, const std::function<void()>& act);

// The same, at the failpoint that is passed as the `number`th, from 1 on: every pass counts.
bool killed_at_pass(int number, const std::function<void()>& act);

}  // namespace relight
