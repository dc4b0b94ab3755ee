// Services in containers, on a real engine, with each of the two programs that drive compose files.
#include <doctest/doctest.h>

#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "tests/support/crash.h"
#include "tests/support/docker.h"
#include "tests/support/error.h"
#include "tests/support/port.h"
#include "tests/support/test_call.h"

using namespace relight;

namespace {

const DockerEngine* engine() {
  const DockerEngine* found = DockerEngine::get();
  static const bool made =
      found != nullptr && (found->make_web("web:1", "1"), found->make_web("web:2", "2"),
                           found->make_web("broken:1", "3", "echo 'no database'; exit 7"), true);
  static_cast<void>(made);
  return found;
}

// A project with a service `web` behind a free port.
struct Project : ComposeBench {
  explicit Project(const std::string& more = "") : ComposeBench(""), extra(more) { pin("web:1"); }
  void pin(const std::string& image) const {
    write("services:\n  web:\n    image: " + image + "\n    ports: [\"127.0.0.1:" + std::to_string(port) +
          ":8080\"]\n" + extra);
  }
  TestParams params(const std::string& type, const Json& more = Json::object()) const {
    Json all = {{"via", Json::parse(via("web"))}, {"port", port}, {"within", "30s"}};
    all.update(more);
    return {type_named(type), all.dump()};
  }
  std::string version() const {
    sys::HttpRequest request;
    request.url = "http://127.0.0.1:" + std::to_string(port) + "/version";
    return sys::http(request).body;
  }
  std::string containers() const {
    return DockerEngine::get()->docker({"ps", "-a", "--filter",
                                        "label=com.docker.compose.project=" + project(), "--format",
                                        "{{.Image}} {{.State}}"});
  }
  const int port = free_port();
  const std::string extra;
};

Json apply(const std::string& type, const TestParams& params, TestCall& call) {
  return type_named(type).make()->apply(params, call);
}

Preview preview(const std::string& type, const TestParams& params) {
  TestCall call;
  call.preview_only = true;
  return type_named(type).make()->preview(params, call);
}

std::string problem_of(const Preview& preview) {
  if (preview.problems.empty()) return "none";
  const Problem& first = preview.problems[0];
  return first.what + ": " + first.on + ": " + first.why + " | " + first.hint;
}

void upgrade_and_back() {
  const Project project;
  const TestParams start = project.params("service.start"), stop = project.params("service.stop");
  TestCall started("web");
  CHECK(preview("service.start", start).summary == "start service web of " + project.file());
  const Json first = apply("service.start", start, started);
  CHECK(project.version() == "1");
  CHECK(first["identity"].get<std::string>().starts_with("container:"));
  CHECK(alive(sys::process_now(first["pid"])));
  CHECK(apply("service.start", start, started) == first);
  Json checked;
  CHECK(type_named("service.start").make()->check(start, started, checked) == Done::yes);
  CHECK(checked == first);

  // An upgrade.
  project.pin("web:2");
  CHECK(told_error([&] { apply("service.start", start, started); }) ==
        "refused: the service runs as it was: service web of " + project.file() +
            ": it runs web:1, and the file says web:2");
  CHECK(preview("service.stop", stop).problems.empty());
  TestCall stopped("stop"), again("again");
  CHECK(apply("service.stop", stop, stopped)["was_running"] == true);
  CHECK(sys::listeners_on(project.port).empty());
  CHECK(project.containers() == "web:1 exited");
  CHECK(preview("service.stop", stop).verdict == Preview::Verdict::nothing_to_do);
  CHECK(apply("service.start", start, again)["identity"] != first["identity"]);
  CHECK(project.version() == "2");

  // And back, in the order of a rollback.
  type_named("service.start").make()->undo(start, again, nullptr);
  CHECK(project.containers() == "web:2 exited");
  project.pin("web:1");
  type_named("service.stop").make()->undo(stop, stopped, nullptr);
  CHECK(project.version() == "1");
  CHECK(project.containers() == "web:1 running");
}

}  // namespace

TEST_CASE("a service is started, upgraded and brought back by docker compose") {
  if (engine() != nullptr && use_compose("docker compose")) upgrade_and_back();
}

TEST_CASE("docker-compose does the same, asked for less") {
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
    apply("service.start", ill.params("service.start", {{"within", "3s"}}), call);
  });
  CHECK(told.find("permanent: the service is not up: service web of " + ill.file() +
                  ": not after 3.0s: it is ") == 0);
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
