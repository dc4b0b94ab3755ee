// Tests that need a real systemd, and may change the host that they run on: those of the suite "machine".
// They run on a machine of their own (tests/support/machine) and nowhere else; a test outside the suite sends
// them there.
#pragma once
#include <string>

namespace relight {

// Whether this program runs on such a machine.
bool in_machine();

struct MachineRun {
  std::string test_case = "*";  // of the suite
  std::string folder;           // shared with the machine, at the same path; empty: none
};

// Runs the suite "machine" of this source file on a machine that is made for it and gone afterwards; a failed
// test when one of them fails. Where no such machine can be had, "not run here: WHY" is printed, the test
// passes, and false is returned.
bool run_in_machine(const char* source_file, const MachineRun& run = {});

// On the machine: MachineRun::folder.
std::string shared_folder();

}  // namespace relight
