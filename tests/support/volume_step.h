// A step on the cluster in the volume of a service: one step of one run, over its attempts.
#pragma once
#include <memory>
#include <string>

#include "tests/support/crash.h"
#include "tests/support/docker_postgres.h"

namespace relight {

class VolumeStep {
 public:
  // `volume`: as PostgresInDocker takes it.
  explicit VolumeStep(const std::string& type, const std::string& volume = "data:/var/lib/pg");
  VolumeStep(const std::string& type, const VolumeStep& beside);  // on the same service
  virtual ~VolumeStep() = default;

  // `more` stands in place of fields(); null: that field is not given.
  Preview preview(const Json& more = Json::object()) const;
  Json apply(const Json& more = Json::object()) const;
  void undo() const;
  // The first of the plan's problems, "WHAT: ON: WHY"; empty: there is none.
  std::string problem(const Json& more = Json::object()) const;

  std::string notes() const { return bench.path() + "/notes-" + type_.name; }

 private:
  const std::shared_ptr<const PostgresInDocker> shared_;

 public:
  const PostgresInDocker& bench;

 protected:
  virtual Json fields() const = 0;  // beside `via`

 private:
  TestParams params(const Json& more) const;
  const StepType& type_;
};

// Makes the service's container, and checks that the plan of the step would change something, has no problem
// and leaves the volume alone. Returns the volume's digest.
std::string planned_in(const VolumeStep& step);

// The containers that steps have started and not ended, an id a line.
std::string containers_of_steps();

// Who owns what lies there: "999:999 ", or all of them.
std::string owners_in(const std::string& folder);

}  // namespace relight
