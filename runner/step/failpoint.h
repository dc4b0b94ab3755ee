// A named point at which the test program can crash, fail, delay or cut the power. The program links
// an empty one (failpoint_none.cpp), the tests the real one, from the same objects.
#pragma once

namespace relight {
void failpoint(const char* name);
}
