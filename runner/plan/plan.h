// A plan: a runbook evaluated with its inputs, as the frozen list of steps, with a digest.
#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/step.h"
#include "runner/sys/json.h"

namespace relight {

enum class OnFailure { stop, rollback, go_on };  // go_on is written "continue"

struct PlannedStep {
  std::string name;
  std::string type;
  std::string file;  // where it stands: "rebuild.lua", and the line
  int line = 0;
  std::vector<std::string> after;      // every step it waits for: names, in plan order, no repeats
  std::shared_ptr<const Json> params;  // as written, checked, without the common fields; values as in value.h

  // The fields that every step takes.
  std::string as;
  std::string doc;
  std::chrono::milliseconds timeout{0};  // 0: none
  int attempts = 1;
  std::chrono::milliseconds backoff{1000};  // doubled at each attempt, at most 60 s
  std::shared_ptr<const Json> when;         // null: always; a boolean; or a function (value.h)
  std::shared_ptr<const Json> defaults;     // outputs in place of a skipped step's; null: none
  std::optional<InDoubt> in_doubt;
  std::optional<OnFailure> on_failure;
  std::string waive;                   // with continue: the reason
  std::string proves;                  // of a probe: "run" or "both"
  std::chrono::milliseconds watch{0};  // of a probe: how often it looks for a downtime; 0: it does not
  std::string no_return;               // why there is no way back once it has begun; empty: there is

  const StepType* step_type = nullptr;  // never null in a whole plan
};

struct Budget {
  std::optional<std::chrono::milliseconds> rto, rpo;
};

struct Plan {
  std::string runbook;  // its name
  std::string doc;      // what it is for; empty: it does not say
  std::string file;     // its file's name, without the folder
  OnFailure on_failure = OnFailure::stop;
  Budget budget;
  std::shared_ptr<const Json> inputs;  // name -> value; secrets as references
  std::vector<PlannedStep> steps;
  std::string digest;  // SHA-256 over to_json without the digest

  const PlannedStep* find(const std::string& name) const;
  std::size_t index_of(const std::string& name) const;  // steps.size(): not there
};

// plan.json of a run's folder. from_json checks the digest and binds the types; throws Error.
Json to_json(const Plan& plan);
Plan plan_from_json(const Json& json, const std::vector<const StepType*>& types);
std::string digest_of(const Plan& plan);

// The text that the digest is the SHA-256 of, and the way back; throws Error where they do not match.
std::string text_of(const Plan& plan);
Plan plan_from_text(const std::string& text, const std::string& digest,
                    const std::vector<const StepType*>& types);

// The two words of the language: their types are the language's own, not of steps/.
inline constexpr const char* approve_type = "approve";
inline constexpr const char* script_type = "script";

}  // namespace relight
