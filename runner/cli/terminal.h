// A run as it is shown while it goes: a line when a step begins and one when it ends; on a terminal the
// last line tells how far the long ones are.
#pragma once
#include <cstdio>
#include <string>

#include "runner/engine/events.h"
#include "runner/engine/run_folder.h"

namespace relight {

class Terminal : public Events {
 public:
  // `out`: stderr where stdout is for something else.
  Terminal(const Plan& plan, const RunFolder& folder, bool quiet, std::FILE* out = stdout);
  ~Terminal() override;
  void step_started(const PlannedStep& step, int attempt, const std::string& op) override;
  void step_progress(const PlannedStep& step, const std::string& phase, std::uint64_t done,
                     std::uint64_t total) override;
  void step_ended(const PlannedStep& step, const StepRecord& record, const std::string& op,
                  std::chrono::milliseconds took) override;
  void step_skipped(const PlannedStep& step, const std::string& why) override;
  void retry_in(const PlannedStep& step, const Error& error, std::chrono::milliseconds wait) override;
  void note(const std::string& line) override;
  void trouble(const Error& error) override;
  bool can_ask() const override;
  void ask(const std::string& name, const std::string& prompt) override;

 private:
  void line(const PlannedStep& step, const std::string& text);
  void put(const std::string& text);
  const RunFolder& folder_;
  std::size_t name_width_ = 0;
  std::FILE* const out_;
  bool quiet_, live_;      // live: it is a terminal, the last line may be rewritten
  std::string live_line_;  // empty: the last line stays
};

}  // namespace relight
