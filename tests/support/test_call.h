// A Call without an engine: notes in memory, the log as lines. For tests of single steps.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "runner/step/step.h"

namespace relight {

class TestCall : public Call {
 public:
  explicit TestCall(std::string step = "step", std::string run = "20261121-102600-test");
  ~TestCall() override;

  const std::string& run() const override { return run_; }
  const std::string& step() const override { return step_; }
  int attempt() const override { return attempt_number; }
  bool previewing() const override { return preview_only; }
  bool full_depth() const override { return full; }
  const Json& notes() const override { return *notes_; }
  void note(const std::string& key, const Json& value) override;
  void progress(const std::string&, std::uint64_t, std::uint64_t) override {}
  void log(const std::string& line) override { lines.push_back(line); }
  bool stop_wanted() const override { return stop; }
  sys::ProcessId launch(const sys::Launch& launch) override { return sys::launch(launch); }

  int attempt_number = 1;
  bool preview_only = false, full = false;
  std::atomic<bool> stop = false;  // set by another thread, too
  std::vector<std::string> lines;

 private:
  std::string run_, step_;
  std::unique_ptr<Json> notes_;
};

// The parameters of a type from JSON text, checked as the plan does: a fault is a failed test. Secret
// references (env, file, command) are read.
struct TestParams {
  TestParams(const StepType& type, const std::string& json_text);
  ~TestParams();
  Secrets secrets;
  std::unique_ptr<Params> params;
  operator const Params&() const { return *params; }
};

const StepType& type_named(const std::string& name);

}  // namespace relight
