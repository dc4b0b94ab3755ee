// The folder of one run, STATE/runs/ID: what was frozen when it was started, its journal and its logs.
//
//   plan.json      the plan with its digest          journal, journal.seal
//   inputs.json    the inputs as they were given     log/STEP.log
//   runbook/       the runbook and its modules       lock   held by relight and its keeper; holder: by whom
//   amended/N/     the same, after resume --amend    alive  inherited by every process that the run starts
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/plan/plan.h"
#include "runner/sys/json.h"

namespace relight {

struct Frozen {
  const Plan* plan;
  std::shared_ptr<const Json> inputs;          // as given: texts and references, no secret
  std::map<std::string, std::string> sources;  // relative name -> bytes; the runbook under plan->file
};

class RunFolder {
 public:
  explicit RunFolder(std::string path);

  // DURABLE: made under another name, synced, renamed.
  static RunFolder create(const std::string& state_folder, const Frozen& frozen);
  // RUN as typed: an id, a unique start of one, or "" for the latest. Throws a refused Error that lists what
  // is there.
  static RunFolder find(const std::string& state_folder, const std::string& typed);
  static std::vector<RunFolder> all(const std::string& state_folder);  // oldest first

  const std::string& path() const { return path_; }
  std::string id() const;
  std::string state_folder() const;
  std::string journal() const { return path_ + "/journal"; }
  std::string lock() const { return path_ + "/lock"; }
  std::string holder() const { return path_ + "/holder"; }
  std::string alive() const { return path_ + "/alive"; }
  std::string log_of(const std::string& step) const { return path_ + "/log/" + step + ".log"; }

  // What is frozen now: the start, or the amendment that was chosen or made.
  const std::string& frozen_folder() const { return frozen_; }
  // The one whose plan the journal names: an amendment that a crash cut off before it was journaled is none.
  // Empty: the start. Throws a needs_person Error when there is none.
  void choose(const std::string& plan_digest);
  Plan plan(const std::vector<const StepType*>& types) const;
  Json inputs() const;
  void amend(const Frozen& frozen);  // DURABLE; what was frozen before stays to be read
  bool was_amended() const;

 private:
  std::string path_, frozen_;
};

std::string default_state_folder();

}  // namespace relight
