// What is wrong with a runbook, and where.
#pragma once
#include <exception>
#include <string>
#include <vector>

#include "runner/sys/error.h"

namespace relight::lang {

struct Place {
  std::string file;  // relative to the runbook's folder: "rebuild.lua", "lib/vault.lua"
  int line = 0;      // 0: not known
};
std::string text_of(const Place& place);  // "rebuild.lua:12"

struct RunbookFault {
  Place at;
  std::string step;                    // empty: of no step
  std::string what;                    // lower case, no full stop
  std::string hint;                    // what to write instead; may be empty
  std::exception_ptr cause = nullptr;  // of a function at run time: what a helper threw, with its kind

  std::string text() const;  // FILE:LINE: step "NAME": WHAT
};

// Every fault that one evaluation could tell, in the order of file and line. As an Error it is the first of
// them (`on` = FILE:LINE, `why` with the step's name); what() holds all, a line each.
class RunbookError : public Error {
 public:
  explicit RunbookError(std::vector<RunbookFault> faults);
  const char* what() const noexcept override { return all_.c_str(); }
  const std::vector<RunbookFault>& faults() const { return faults_; }

 private:
  std::vector<RunbookFault> faults_;
  std::string all_;
};

}  // namespace relight::lang
