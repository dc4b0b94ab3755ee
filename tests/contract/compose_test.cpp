#include <doctest/doctest.h>

#include "runner/step/via.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/docker.h"
#include "tests/support/port.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

// A service in a container, in a project of its own.
struct Web : Fixture {
  Web() {
    static const bool made = (DockerEngine::get()->make_web("relight-contract", "1"), true);
    static_cast<void>(made);
    sys::make_folders(path("srv"));
    add_neighbours(path("srv"));
    write("srv/compose.yml", "services:\n  web:\n    image: relight-contract\n    ports: [\"127.0.0.1:" +
                                 std::to_string(port_) + ":8080\"]\n");
  }
  ~Web() override { forget_project(project_); }
  Json params() const override {
    return {{"via",
             {{"compose", {{"file", path("srv/compose.yml")}, {"project", project_}, {"service", "web"}}}}},
            {"port", port_},
            {"within", "30s"}};
  }
  // A container that has ended is as good as none, and one that was started is another each time.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    const std::string all = DockerEngine::get()->docker(
        {"ps", "-a", "--no-trunc", "--filter", "label=com.docker.compose.project=" + project_, "--format",
         exact ? "{{.ID}} {{.State}}" : "{{.State}}"});
    look["containers"] = exact || all != "exited" ? all : "";
    return look;
  }
  Json steady(Json outputs) const override {
    outputs.erase("pid");
    outputs.erase("identity");
    return outputs;
  }

 protected:
  void run_already() const {
    const StepType& start = type_named("service.start");
    const TestParams started(start, Web::params().dump());
    TestCall call("earlier", "run-of-" + project_);
    start.make()->apply(started, call);
  }

 private:
  static int port() {
    static const int port = free_port();
    return port;
  }
  const int port_ = port();
  const std::string project_ = "contract" + std::to_string(port_);
};

struct StopWeb : Web {
  StopWeb() { run_already(); }
};

// A file of two services, one of them pinned.
struct Pin : Fixture {
  Pin() {
    static const bool made = (DockerEngine::get()->make_web("contract-app:1", "1"),
                              DockerEngine::get()->docker({"tag", "contract-app:1", "contract-app:2"}), true);
    static_cast<void>(made);
    add_neighbours(path("srv"));
    write("srv/compose.yml",
          "# two\nservices:\n  app: {image: 'contract-app:1'}\n  other: {image: contract-app:1}\n", 0640);
  }
  Json params() const override { return {{"file", path("srv/compose.yml")}, {"images", {{"app", "2"}}}}; }
  std::vector<std::string> busy() const override { return {"srv"}; }
};

// One container for all of the cases that work in it.
const ComposeBench& bench() {
  static const ComposeBench bench("services: {web: {image: relight-contract}}\n");
  static const bool up = [] {
    DockerEngine::get()->make_web("relight-contract", "1");
    const TestParams params(type_named("service.start"), "{\"via\": " + bench.via("web") + "}");
    TestCall call("start", "run-of-the-contract");
    type_named("service.start").make()->apply(params, call);
    return true;
  }();
  static_cast<void>(up);
  return bench;
}

// A program in a container, with a way back.
struct Inside : Fixture {
  Inside() {
    add_neighbours(path("srv"));
    write("secret", marker, 0600);
    inside("busybox rm -f /tmp/made");
  }
  Json params() const override {
    return {{"via", Json::parse(bench().via("web"))},
            {"command", {"sh", "-c", "test -n \"$KEY\" && echo done > made"}},
            {"check", {"test", "-e", "made"}},
            {"undo", {"busybox", "rm", "-f", "made"}},
            {"cwd", "/tmp"},
            {"env", {{"KEY", {{"$secret", {{"file", path("secret")}}}}}}}};
  }
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look["inside"] = inside("cat /tmp/made 2>/dev/null || echo nothing");
    return look;
  }
  std::vector<std::string> secrets() const override { return {marker}; }
  std::string steady_digest(const std::string&) const override { return ""; }
  // What it printed is known only where it ran.
  Json steady(Json outputs) const override {
    outputs.erase("stdout");
    return outputs;
  }

 protected:
  static std::string inside(const std::string& script) {
    TestCall call;
    const Via via{bench().file(), bench().project(), "web"};
    static const std::string id = container_of(via, call).id;
    return DockerEngine::get()->docker({"exec", id, "sh", "-c", script});
  }
  const std::string marker = "hunter2/of:a+marker";
};

// Each case takes seconds: without RELIGHT_TEST_ALL few points are tried but for the chain of them all.
const Subjects services{
    {"service.start", "under docker compose", [] { return std::make_unique<Web>(); }, 200, true},
    {"shell.run", "in a container", [] { return std::make_unique<Inside>(); }, 200, true},
    {"compose.pin", "one of two", [] { return std::make_unique<Pin>(); }, 200, true},
    {"service.stop", "under docker compose", [] { return std::make_unique<StopWeb>(); }, 200, true},
};

}  // namespace

TEST_CASE("the contract of the steps that work on containers") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  for (const char* family : {"service.", "compose.", "shell."}) check_contract(family, true);
}
