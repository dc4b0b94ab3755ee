// A runbook from a test's text, evaluated as the program does: in a child, twice.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runner/lang/evaluate.h"
#include "runner/sys/files.h"

namespace relight {

// The step types of the language's tests: a few of the real ones' names, without their work.
const std::vector<const StepType*>& fake_types();

class Runbook {
 public:
  // The text stands in test.lua, its first line being line 1.
  explicit Runbook(const std::string& text);

  Runbook& with(const std::string& file, const std::string& text);  // a module, or any file beside it
  Runbook& set(const std::string& input, const std::string& text);
  Runbook& inputs(const std::string& json);
  Runbook& types(const std::vector<const StepType*>& types);

  lang::Evaluated evaluate() const;
  Plan plan() const { return evaluate().plan; }
  // What it is refused for: "test.lua:3: ... | HINT" a line each, "" when it is good.
  std::string refusal() const;
  std::string path() const { return folder_->path() + "/test.lua"; }

  lang::Given given;
  lang::Limits limits;

 private:
  std::shared_ptr<sys::TempFolder> folder_ = std::make_shared<sys::TempFolder>();
  const std::vector<const StepType*>* types_ = &fake_types();
};

}  // namespace relight
