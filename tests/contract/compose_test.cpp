#include <doctest/doctest.h>

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

// Each case takes seconds: without RELIGHT_TEST_ALL few points are tried but for the chain of them all.
const Subjects services{
    {"service.start", "under docker compose", [] { return std::make_unique<Web>(); }, 30, true},
    {"compose.pin", "one of two", [] { return std::make_unique<Pin>(); }, 30, true},
    {"service.stop", "under docker compose", [] { return std::make_unique<StopWeb>(); }, 30, true},
};

}  // namespace

TEST_CASE("the contract of the steps that work on containers") {
  if (DockerEngine::get() == nullptr || !use_any_compose()) return;
  check_contract("service.", true);
  check_contract("compose.", true);
}
