#include "tests/support/volume_step.h"

#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/process.h"

namespace relight {

VolumeStep::VolumeStep(const std::string& type, const std::string& volume)
    : shared_(std::make_shared<PostgresInDocker>(volume)), bench(*shared_), type_(type_named(type)) {}

VolumeStep::VolumeStep(const std::string& type, const VolumeStep& beside)
    : shared_(beside.shared_), bench(*shared_), type_(type_named(type)) {}

TestParams VolumeStep::params(const Json& more) const {
  Json all = fields();
  all["via"] = Json::parse(bench.via("db"));
  all.update(more);
  for (auto it = all.begin(); it != all.end();) it = it->is_null() ? all.erase(it) : std::next(it);
  return {type_, all.dump()};
}

Preview VolumeStep::preview(const Json& more) const {
  TestCall call;
  call.preview_only = true;
  return type_.make()->preview(params(more), call);
}

Json VolumeStep::apply(const Json& more) const {
  DurableCall call(type_.name, notes());
  return type_.make()->apply(params(more), call);
}

void VolumeStep::undo() const {
  DurableCall call(type_.name, notes());
  type_.make()->undo(params(Json::object()), call, nullptr);
}

std::string VolumeStep::problem(const Json& more) const {
  const Preview told = preview(more);
  if (told.problems.empty()) return "";
  return told.problems[0].what + ": " + told.problems[0].on + ": " + told.problems[0].why;
}

std::string planned_in(const VolumeStep& step) {
  step.bench.make();
  const std::string before = sys::tree_digest(step.bench.volume());
  const Preview preview = step.preview();
  for (const Problem& problem : preview.problems) FAIL(problem.what, problem.on, problem.why);
  CHECK(preview.verdict == Preview::Verdict::would_change);
  CHECK(sys::tree_digest(step.bench.volume()) == before);
  return before;
}

std::string containers_of_steps() {
  return DockerEngine::get()->docker({"ps", "-a", "-q", "--filter", "label=relight.step"});
}

std::string owners_in(const std::string& folder) {
  sys::Command command;
  command.argv = {"sh", "-c", "find \"$1\" -printf '%U:%G\\n' | sort -u | tr '\\n' ' '", "-", folder};
  return sys::output_of(command, "cannot look at a test's folder");
}

}  // namespace relight
