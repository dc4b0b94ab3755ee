// Programs within a container: on a real engine.
#include "runner/step/inside.h"

#include <doctest/doctest.h>

#include <thread>

#include "runner/sys/json_whole.h"
#include "runner/sys/proc.h"
#include "runner/sys/wait.h"
#include "tests/support/docker.h"
#include "tests/support/error.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// A service that runs.
struct Runs : ComposeBench {
  Runs() : ComposeBench("services: {web: {image: \"inside:1\"}}\n") {
    static const bool made = (DockerEngine::get()->make_web("inside:1", "1"), true);
    static_cast<void>(made);
    const TestParams params(type_named("service.start"), Json{{"via", Json::parse(via("web"))}}.dump());
    TestCall call("start");
    type_named("service.start").make()->apply(params, call);
  }
  TestParams params(const std::string& type, Json more) const {
    more["via"] = Json::parse(via("web"));
    return {type_named(type), more.dump()};
  }
};

int left(const TestCall& call) {
  int count = 0;
  for (const sys::ProcStat& stat : sys::proc_all())
    count +=
        !stat.ended() && sys::proc_env(stat.process.pid, "RELIGHT_EXEC") == call.run() + "/" + call.step();
  return count;
}

bool here() {
  return DockerEngine::get() != nullptr && use_any_compose();
}

}  // namespace

TEST_CASE("a program runs in the container, with its folder, its variables and its input there") {
  if (!here()) return;
  const Runs bench;
  const StepType& type = type_named("shell.run");
  TestCall call("inside");
  const TestParams params = bench.params(
      "shell.run", {{"command", {"sh", "-c", "pwd; cat version; echo; echo $KEY; cat; hostname >/tmp/host"}},
                    {"cwd", "/www"},
                    {"stdin", "typed"},
                    {"env", {{"KEY", "of the env"}}}});
  CHECK_FALSE(type.make()->child(params).has_value());
  CHECK(type.make()->apply(params, call)["stdout"] == "/www\n1\nof the env\ntyped");
  const TestParams fails = bench.params("shell.run", {{"command", {"sh", "-c", "echo no; exit 7"}}});
  CHECK(told_error([&] { type.make()->apply(fails, call); }) ==
        "transient: the program failed: sh: it exited with 7: no");
  const TestParams path = bench.params("shell.run", {{"command", {"sh"}}, {"env", {{"DOCKER_HOST", "x"}}}});
  CHECK(told_error([&] { type.make()->apply(path, call); }) ==
        "refused: cannot set a variable in a container: DOCKER_HOST: docker itself would take it");
  const TestParams probe =
      bench.params("probe.command", {{"command", {"cat", "/www/version"}}, {"expect", {{"output", "1"}}}});
  CHECK(type_named("probe.command").make()->apply(probe, call)["exit"] == 0);
}

TEST_CASE("what must stop is ended in the container, and so is what an attempt that died has left") {
  if (!here()) return;
  const Runs bench;
  const StepType& type = type_named("shell.run");
  TestCall call("inside");
  const TestParams params = bench.params("shell.run", {{"command", {"sh", "-c", "sleep 1000 & sleep 1000"}}});
  std::thread stopper([&] {
    sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(20), {},
                    [&] { return left(call) >= 3; });
    call.stop = true;
  });
  bool stopped = false;
  try {
    type.make()->apply(params, call);
  } catch (const Stopped&) {
    stopped = true;
  }
  stopper.join();
  CHECK(stopped);
  CHECK(left(call) == 0);

  // docker is killed, its program lives on.
  TestCall dead("dead");
  sys::Command command;
  command.argv = {"docker",
                  "exec",
                  "-d",
                  "--env",
                  "RELIGHT_EXEC=" + dead.run() + "/dead",
                  container_of(*via_of(params, dead), dead).id,
                  "sleep",
                  "1000"};
  sys::run(command);
  CHECK(sys::wait_until(std::chrono::minutes(1), std::chrono::milliseconds(20), {},
                        [&] { return left(dead) == 1; }));
  type.make()->settle(params, dead);
  CHECK(left(dead) == 0);
}

TEST_CASE("a plan says where the service does not run yet") {
  if (!here()) return;
  const ComposeBench bench("services: {web: {image: \"inside:1\"}}\n");
  const TestParams params(type_named("shell.run"),
                          Json{{"command", {"true"}}, {"via", Json::parse(bench.via("web"))}}.dump());
  TestCall call;
  call.preview_only = true;
  const Preview preview = type_named("shell.run").make()->preview(params, call);
  CHECK(preview.summary == "run true in the container of service web of " + bench.file());
  CHECK(preview.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(preview.hints == std::vector<std::string>{"service web of " + bench.file() +
                                                  ": it has none, unless an earlier step starts it"});
}
