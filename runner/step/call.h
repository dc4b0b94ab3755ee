// One preview, check, apply, undo or discard of one step, as the step sees it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "runner/sys/json.h"
#include "runner/sys/launch.h"
#include "runner/sys/process.h"

namespace relight {

class Call {
 public:
  virtual ~Call() = default;

  virtual const std::string& run() const = 0;   // the run's id
  virtual const std::string& step() const = 0;  // the step's name
  virtual int attempt() const = 0;              // 1, 2, ... over retries and resumes
  virtual bool previewing() const = 0;
  virtual bool full_depth() const = 0;  // --depth full

  // The notes of this and every earlier attempt, by key; a later note of a key replaces it.
  virtual const Json& notes() const = 0;
  // DURABLE on return, or throws and nothing may be done: call it before the effect that it describes.
  virtual void note(const std::string& key, const Json& value) = 0;

  virtual void progress(const std::string& phase, std::uint64_t done,
                        std::uint64_t total) = 0;  // may be dropped
  virtual void log(const std::string& line) = 0;   // into the step's log, redacted

  // timeout, SIGINT: stop at a safe point. The one thing of a call that any thread may ask.
  virtual bool stop_wanted() const = 0;
  // Throws Stopped, by which the engine knows that the step stopped because it was told to.
  void stop_here_if_wanted() const;

  // The answer to a question about this host that many steps of a plan ask alike ("program /bin/true"):
  // `look` is called for it once in a process that previews many steps, and each time everywhere else.
  virtual std::string once(const std::string& question, const std::function<std::string()>& look);

  // Every path and port that a step touches goes through these: identity outside a drill.
  virtual std::string place(const std::string& path) const { return path; }
  virtual int port(int number) const { return number; }

  // A hidden name on the target's file system, the same in every attempt: DIR/.NAME.relight-RUN-STEP.
  std::string beside(const std::string& target) const;

  // Starts a service that is no child of the run and outlives relight.
  virtual sys::ProcessId launch(const sys::Launch&) = 0;

  // Runs a program to its end, in a process group of its own, which is ended when the step must stop;
  // its stderr (and stdout, unless captured) goes to the step's log, redacted.
  sys::Result run_program(sys::Command command);
};

// Thrown by stop_here_if_wanted and run_program, and by no step: the engine takes it as "stopped at a safe
// point".
struct Stopped {};

}  // namespace relight
