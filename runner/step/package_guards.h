// While packages are installed, nothing of them may start: policy-rc.d keeps services from starting, and
// createcluster.conf keeps PostgreSQL's packages from making a cluster. Files that were there are kept, and
// put back; which is which is decided by markers, so that a kill at any instant is put right by the next
// attempt.
#pragma once
#include "runner/step/call.h"

namespace relight {

class PackageGuards {
 public:
  explicit PackageGuards(Call& call) : call_(call) {}
  void raise(bool clusters);  // clusters: PostgreSQL's too
  void lift();                // the files are as they were before; nothing to do when they are

 private:
  Call& call_;
};

}  // namespace relight
