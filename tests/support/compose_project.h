// A service `web` under docker compose behind a free port, for the tests of the steps that start and stop it.
#pragma once
#include <string>

#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "tests/support/docker.h"
#include "tests/support/port.h"
#include "tests/support/test_call.h"

namespace relight {

// With the images web:1, web:2 and broken:1, which ends at once; nullptr as DockerEngine::get().
inline const DockerEngine* engine() {
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

inline Json apply(const std::string& type, const TestParams& params, TestCall& call) {
  return type_named(type).make()->apply(params, call);
}

inline Preview preview(const std::string& type, const TestParams& params) {
  TestCall call;
  call.preview_only = true;
  return type_named(type).make()->preview(params, call);
}

inline std::string problem_of(const Preview& preview) {
  if (preview.problems.empty()) return "none";
  const Problem& first = preview.problems[0];
  return first.what + ": " + first.on + ": " + first.why + " | " + first.hint;
}

}  // namespace relight
