// One evaluation of a runbook, in one fresh state: from its text to its plan. The caller keeps it within
// bounds of time (evaluate.h); the state keeps those of instructions and memory.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "runner/lang/builder.h"
#include "runner/lang/inputs.h"
#include "runner/lang/sources.h"
#include "runner/lang/state.h"

namespace relight::lang {

class Evaluation {
 public:
  // What it scans is kept in `scans`, for the next evaluation of the same sources.
  Evaluation(Sources& sources, Scans& scans, const std::vector<const StepType*>& types, const Given& given,
             const Limits& limits);
  ~Evaluation();

  // Once; the digest is that of plan_text(). Throws RunbookError with all that was found, or the Error of a
  // file that cannot be read.
  Plan run();

  const std::string& plan_text() const { return plan_text_; }
  const std::vector<std::string>& warnings() const { return builder_.warnings(); }
  std::shared_ptr<const Json> given_inputs() const { return given_values_; }
  State& state() { return state_; }
  Builder& builder() { return builder_; }

 private:
  friend struct Words;
  void open_words();
  void look_at(const SourceFile& source);

  struct Pending {  // `host.packages "x"`, still without its table
    Place at;
    std::string text;
    bool done = false;
  };

  Sources& sources_;
  Scans& scans_;
  const std::vector<const StepType*>& types_;
  const Given& given_;
  std::set<std::string> families_;
  std::set<std::string> tags_;  // the families whose table may be called: of the tagged fields
  std::vector<std::string> type_names_;
  Builder builder_;
  State state_;
  std::vector<Pending> pending_;
  std::optional<Place> inputs_at_;
  std::shared_ptr<const Json> input_values_, given_values_;
  std::string plan_text_;
  std::map<std::string, Place> loading_;  // modules that are being read, and from where
};

}  // namespace relight::lang
