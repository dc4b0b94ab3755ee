// Services in containers, on a real engine; with the plugin `docker compose`: compose_plugin_test.cpp.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/support/compose_project.h"
#include "tests/support/crash.h"
#include "tests/support/error.h"

using namespace relight;

TEST_CASE("a service is started, stopped and started anew by docker-compose") {
  if (engine() == nullptr || !use_compose("docker-compose")) return;
  const Project project;
  const TestParams start = project.params("service.start"), stop = project.params("service.stop");
  TestCall started("web"), stopped("stop");
  CHECK(apply("service.start", start, started)["identity"].get<std::string>().starts_with("container:"));
  CHECK(project.version() == "1");
  apply("service.stop", stop, stopped);
  CHECK(project.containers() == "web:1 exited");
  project.pin("web:2");
  type_named("service.stop").make()->undo(stop, stopped, nullptr);
  CHECK(project.version() == "2");
  project.write("services: [\n");
  CHECK(problem_of(preview("service.start", start)).find("the compose file does not parse") == 0);
}

TEST_CASE("killed anywhere in its start, it is one container in the end") {
  if (engine() == nullptr || !use_any_compose()) return;
  const Project project;
  const TestParams start = project.params("service.start");
  sys::TempFolder folder;
  const auto act = [&] {
    DurableCall call("web", folder.path() + "/notes");
    apply("service.start", start, call);
  };
  for (const char* point : {"service.start:token-noted", "service.start:started"}) {
    CHECK(killed_at(point, act));
    act();
    CHECK(project.containers() == "web:1 running");
    TestCall call("stop");
    apply("service.stop", project.params("service.stop"), call);
  }
}

TEST_CASE("it is up when it is healthy, and what a health check says last is told") {
  if (engine() == nullptr || !use_any_compose()) return;
  const auto check = [](const std::string& command) {
    return "    healthcheck:\n      test: [\"CMD\", \"/bin/sh\", \"-c\", \"" + command +
           "\"]\n      interval: 200ms\n      timeout: 2s\n      retries: 1\n";
  };
  const Project well(check("test -e /tmp/ok || { touch /tmp/ok; exit 1; }"));
  TestCall call("web");
  apply("service.start", well.params("service.start"), call);
  CHECK(well.containers() == "web:1 running");

  const Project ill(check("echo the disk is full; exit 1"));
  const std::string told = told_error([&] {
    apply("service.start", ill.params("service.start", {{"within", "8s"}}), call);  // time for compose itself
  });
  CHECK(told.find("permanent: the service is not up: service web of " + ill.file() +
                  ": not after 8.0s: it is ") == 0);
  CHECK(told.find("the disk is full") != std::string::npos);
  CHECK(told.find("its log ends with: web 1 starts") != std::string::npos);
}

TEST_CASE("one that ends at once is told with its exit code and the end of its log") {
  if (engine() == nullptr || !use_any_compose()) return;
  const Project project;
  project.pin("broken:1");
  TestCall call("web");
  CHECK(told_error([&] { apply("service.start", project.params("service.start"), call); }) ==
        "permanent: the service ended at once: service web of " + project.file() +
            ": its container exited with 7; its log ends with: web 3 starts\nno database");
}

TEST_CASE("a probe takes the answer of this start of the container, and of no other") {
  if (engine() == nullptr || !use_any_compose()) return;
  const Project project;
  TestCall call("web");
  const Json started = apply("service.start", project.params("service.start"), call);
  const auto probe = [&](int port) {
    const TestParams params(type_named("probe.http"),
                            Json{{"url", "http://127.0.0.1:" + std::to_string(port) + "/version"},
                                 {"service", started["identity"]},
                                 {"within", "0s"}}
                                .dump());
    return told_error([&] { apply("probe.http", params, call); });
  };
  CHECK(probe(project.port) == "none");
  CHECK(probe(free_port()).find("is not published by the container " + project.project()) !=
        std::string::npos);
  DockerEngine::get()->docker({"restart", "-t", "1", started["identity"].get<std::string>().substr(10, 64)});
  CHECK(probe(project.port).find("the service has ended") != std::string::npos);
  CHECK(probe(project.port).find("it was started again since") != std::string::npos);
}

TEST_CASE("a plan says what is missing, before anything is touched") {
  if (engine() == nullptr || !use_any_compose()) return;
  const Project project;
  const TestParams start = project.params("service.start"), stop = project.params("service.stop");
  // A stranger on the port.
  project.write("services:\n  wbe:\n    image: web:1\n");
  CHECK(problem_of(preview("service.start", start)) ==
        "no such service: web: " + project.file() + " has none of that name | did you mean \"wbe\"?");
  project.write("services:\n  web:\n    image: [\n");
  for (const char* type : {"service.start", "service.stop"})
    CHECK(problem_of(preview(type, project.params(type)))
              .find("the compose file does not parse: " + project.file() + ": ") == 0);
  sys::remove_file(project.file());
  const Preview absent = preview("service.start", start);
  CHECK(absent.verdict == Preview::Verdict::cannot_yet_tell);
  CHECK(absent.hints ==
        std::vector<std::string>{"there is no " + project.file() + ", unless an earlier step brings it"});
  project.pin("web:1");
  const std::string host = std::getenv("DOCKER_HOST");
  setenv("DOCKER_HOST", ("unix://" + project.path() + "/nobody").c_str(), 1);
  CHECK(problem_of(preview("service.stop", stop)).find("no container engine answers: docker: ") == 0);
  setenv("DOCKER_HOST", host.c_str(), 1);
  CHECK(problem_of(preview("service.stop", stop)) == "none");
}
