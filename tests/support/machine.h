// Tests that need a real systemd, and may change the host that they run on: those of the suite "machine".
// They run on a machine of their own (tests/support/machine) and nowhere else; a test outside the suite sends
// them there.
#pragma once

namespace relight {

// Whether this program runs on such a machine.
bool in_machine();

// Runs the suite "machine" of this source file on a machine that is made for it and gone afterwards; a failed
// test when one of them fails. Where no such machine can be had, "not run here: WHY" is printed, and the test
// passes.
void run_in_machine(const char* source_file);

}  // namespace relight
