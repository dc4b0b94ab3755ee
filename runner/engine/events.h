// What a run tells while it goes: for a terminal, or for nobody. Nothing depends on it.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "runner/engine/recovery.h"
#include "runner/plan/plan.h"

namespace relight {

class Events {
 public:
  virtual ~Events() = default;
  virtual void step_started(const PlannedStep&, int /*attempt*/, const std::string& /*op*/) {}
  virtual void step_progress(const PlannedStep&, const std::string& /*phase*/, std::uint64_t /*done*/,
                             std::uint64_t /*total*/) {}
  virtual void step_ended(const PlannedStep&, const StepRecord&, const std::string& /*op*/,
                          std::chrono::milliseconds /*took*/) {}
  virtual void step_skipped(const PlannedStep&, const std::string& /*why*/) {}
  virtual void retry_in(const PlannedStep&, const Error&, std::chrono::milliseconds) {}
  virtual void note(const std::string& /*line*/) {}  // "stopping at a safe point: ..."
  virtual void trouble(const Error&) {}              // it changes nothing about how the run ended
  // Asks at the terminal; nothing: nobody sits there, or no answer.
  virtual bool can_ask() const { return false; }
  virtual void ask(const std::string& /*name*/, const std::string& /*prompt*/) {
  }  // shows the question; the answer is a line on stdin
};

}  // namespace relight
