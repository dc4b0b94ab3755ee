#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const StepType& type() {
  return type_named("probe.command");
}

Json shell(const std::string& script, Json more = Json::object()) {
  Json values = {{"command", {"/bin/sh", "-c", script}}};
  values.update(more);
  return values;
}

std::string outcome(const Json& values) {
  TestParams params(type(), values.dump());
  TestCall call;
  try {
    return "passed: " + type().make()->apply(params, call).dump();
  } catch (const Error& error) {
    return error.why;
  }
}

}  // namespace

TEST_CASE("exit code and output are compared with what is expected") {
  CHECK(outcome(shell("exit 0")) == R"(passed: {"exit":0})");
  CHECK(outcome(shell("exit 3", {{"expect", {{"exit", 3}}}})) == R"(passed: {"exit":3})");
  CHECK(outcome(shell("echo all good", {{"expect", {{"output", "good"}}}})) == R"(passed: {"exit":0})");
  CHECK(outcome(shell("echo it is broken >&2; exit 1")) == "it exited with 1: it is broken");
  CHECK(outcome(shell("true", {{"expect", {{"exit", 3}}}})) == "it exited with 0, not 3");
  CHECK(outcome(shell("echo bad", {{"expect", {{"output", "good"}}}})) ==
        "its output does not contain \"good\": bad");
  CHECK(outcome(shell("exit 1", {{"expect", {{"exti", 1}}}})) == "there is no such field");
}

TEST_CASE("within: run again and again until it passes") {
  sys::TempFolder folder;
  CHECK(outcome(shell("echo x >> tries; test $(wc -l < tries) -ge 3",
                      {{"cwd", folder.path()}, {"within", "20s"}, {"every", "10ms"}})) ==
        R"(passed: {"exit":0})");
  CHECK(sys::read_file(folder.path() + "/tries") == "x\nx\nx\n");
  CHECK(outcome(shell("exit 1", {{"within", "50ms"}, {"every", "10ms"}})) ==
        "not within 50ms; last seen: it exited with 1");
}

TEST_CASE("asked once it is a plain child, else a worker") {
  TestParams once(type(), shell("true", {{"env", {{"A", "b"}}}}).dump());
  auto step = type().make();
  auto child = step->child(once);
  REQUIRE(child);
  CHECK(child->argv == std::vector<std::string>{"/bin/sh", "-c", "true"});
  CHECK(child->env.at("A") == "b");
  CHECK(step->child_done(once, 0, "") == Json{{"exit", 0}});
  CHECK_THROWS_WITH_AS(step->child_done(once, 2, "so sad\n"),
                       "the probe did not pass: /bin/sh -c true: it exited with 2: so sad", Error);
  TestParams often(type(), shell("true", {{"within", "1m"}}).dump());
  CHECK_FALSE(step->child(often));
}

TEST_CASE("a program that is not there yet is told, not refused") {
  TestParams params(type(), R"({"command": ["/no/such/smoke.sh"]})");
  TestCall call;
  Preview preview = type().make()->preview(params, call);
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(preview.problems.empty());
  CHECK(preview.hints.size() == 1);
}
