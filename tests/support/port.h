// Ports for the servers of tests.
#pragma once

namespace relight {

// A port of 127.0.0.1 on which nobody listens, outside of the range that outgoing connections take. No other
// call gives it out, in any test process, until this process has ended.
int free_port();

}  // namespace relight
