#include <doctest/doctest.h>
#include <unistd.h>

#include "runner/sys/proc.h"
#include "runner/sys/text.h"
#include "tests/contract/fixture.h"
#include "tests/contract/harness.h"
#include "tests/support/port.h"
#include "tests/support/service.h"

using namespace relight;

namespace {

// A program that listens, without a manager.
struct OwnService : Fixture {
  OwnService() : end_(path("run/pid")) {
    add_neighbours(path("run"));
    write("env", "KEY='" + marker + "'\n", 0600);
  }
  Json params() const override {
    return {{"command", listening_command(port_)},
            {"pid_file", path("run/pid")},
            {"env_file", path("env")},
            {"log", path("log")},
            {"port", port_}};
  }
  std::vector<std::string> busy() const override { return {".", "run"}; }
  std::vector<std::string> secrets() const override { return {marker}; }

  // How many listen, and whether the pid file names the one; its number is another each time.
  Look look(bool exact) const override {
    Look look = Fixture::look(exact);
    look.erase("log");
    const std::string pids = strangers_on(port_),
                      file = sys::trim(sys::read_file_if_there(path("run/pid")).value_or(""));
    look["port"] = pids.empty() ? "free" : pids.find(' ') != std::string::npos ? "two servers" : "one server";
    if (exact) look["port"] += " " + pids;
    if (!exact && look.contains("run/pid")) look["run/pid"] = file == pids ? "of the server" : "of another";
    return look;
  }
  Json steady(Json outputs) const override {
    outputs.erase("pid");
    outputs.erase("identity");
    return outputs;
  }

 protected:
  const std::string marker = "hunter2/of:a+marker";
  const int port_ = free_port();

  void run_already() const {
    const StepType& start = type_named("service.start");
    const TestParams started(start, OwnService::params().dump());
    TestCall call("earlier", "run-of-" + sys::name_of_path(world()));
    start.make()->apply(started, call);
  }

 private:
  EndAtExit end_;
};

struct RunsAlready : OwnService {
  RunsAlready() { run_already(); }
};

struct StopIt : RunsAlready {
  Json params() const override {
    Json params = OwnService::params();
    params.erase("log");
    return params;
  }
};

struct StoppedAlready : OwnService {};

const Subjects service{
    subject<OwnService>("service.start", "a program of its own", 1),
    subject<RunsAlready>("service.start", "one that runs", 1),
    subject<StopIt>("service.stop", "a program of its own", 1),
    subject<StoppedAlready>("service.stop", "one that does not run", 1),
};

}  // namespace

TEST_CASE("the contract of service.start and service.stop") {
  check_contract("service.");
}
