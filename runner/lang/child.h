// Work on a runbook in a child process, so that its bounds may end it.
#pragma once
#include <functional>
#include <string>

#include "runner/lang/state.h"
#include "runner/sys/files.h"
#include "runner/sys/json.h"

namespace relight::lang {

// Forks (no exec) and runs `work` under the bounds of CPU time and address space; several may run at once.
class Child {
 public:
  Child(const Limits& limits, std::string runbook, const std::function<Json()>& work);
  Child(const Child&) = delete;
  ~Child();  // ends it, where nobody took its answer, and waits for it to be gone

  // What `work` gave, once. What it threw is thrown here: RunbookError, Error. A child that was ended by a
  // bound is a RunbookError at the last line seen.
  Json answer();

 private:
  int end();  // its wait status
  [[noreturn]] void refuse(const std::string& bytes, int status) const;

  Limits limits_;
  std::string runbook_;
  int pid_ = -1;
  sys::Fd from_;
};

Json in_child(const Limits& limits, const std::string& runbook, const std::function<Json()>& work);

}  // namespace relight::lang
