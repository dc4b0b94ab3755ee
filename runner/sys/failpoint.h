// Named points at which the test program can crash, fail or delay. The program links empty ones
// (failpoint_none.cpp), the tests the real ones, from the same objects. Thread safe.
#pragma once

namespace relight {

void failpoint(const char* name);

// A point right before a system call: true, with errno set, where the call is to be taken as failed.
bool fails_at(const char* name);

}  // namespace relight
