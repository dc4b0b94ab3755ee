#include "runner/step/via.h"

#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"

namespace relight {
namespace {

const char* const missing = "compose is missing: neither docker compose nor docker-compose is here";

Field part(std::string name, FieldType type, bool required, std::string doc, std::string example) {
  return {.name = std::move(name),
          .type = type,
          .required = required,
          .fallback = "",
          .doc = std::move(doc),
          .example = std::move(example),
          .choices = {}};
}

}  // namespace

Field via_field(std::string doc) {
  return {.name = "via",
          .type = FieldType::tagged,
          .required = false,
          .fallback = "",
          .doc = std::move(doc),
          .example = "compose{ file = \"/srv/app/compose.yml\", service = \"app\" }",
          .choices = {"compose"},
          .parts = {part("file", FieldType::path, true, "the compose file", "\"/srv/app/compose.yml\""),
                    part("project", FieldType::text, false,
                         "the project's name, where it is not that of the file's folder", "\"app\""),
                    part("service", FieldType::text, true, "the service's name in it", "\"app\"")}};
}

std::optional<Via> via_of(const Params& params, Call& call) {
  if (!params.has("via")) return std::nullopt;
  const Json& compose = params["via"].at("compose");
  return Via{sys::absolute(call.place(compose.at("file").get<std::string>())), compose.value("project", ""),
             compose.at("service").get<std::string>()};
}

std::vector<std::string> via_target(const Params& params) {
  if (!params.has("via") || !params.known("via")) return {};
  const Json& compose = params["via"].at("compose");
  return {"compose:" + sys::absolute(compose.at("file").get<std::string>()) + "/" +
          compose.at("service").get<std::string>()};
}

std::string shown_via(const Params& params) {
  const Json& compose = params.all().at("via").at("compose");
  return "service " + shown(compose.at("service")) + " of " + shown(compose.at("file"));
}

sys::Compose compose_of(const Via& via, Call& call) {
  return {via.file, via.project,
          [&call](sys::Command command) { return call.run_program(std::move(command)); }};
}

sys::Docker docker_of(Call& call) {
  return sys::Docker([&call](sys::Command command) { return call.run_program(std::move(command)); });
}

bool foresee_via(const Via& via, Call& call, Preview& preview) {
  const sys::Compose compose = compose_of(via, call);
  const bool no_program = compose.program().empty();
  if (no_program || !sys::exists(via.file)) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back((no_program ? missing : "there is no " + via.file) +
                            ", unless an earlier step brings it");
    return false;
  }
  if (!compose.has(via.service)) {
    std::vector<std::string> names;
    if (compose.config().contains("services"))
      for (auto it = compose.config()["services"].begin(); it != compose.config()["services"].end(); ++it)
        names.push_back(it.key());
    const std::string near = near_name(via.service, names);
    throw Error(ErrorKind::refused, "no such service", via.service, via.file + " has none of that name",
                near.empty() ? "correct `service`" : "did you mean \"" + near + "\"?");
  }
  compose.docker().need_engine();
  return true;
}

sys::Container container_of(const Via& via, Call& call) {
  const sys::Compose compose = compose_of(via, call);
  const std::vector<sys::Container> all = compose.containers(via.service);
  std::vector<sys::Container> running;
  for (const sys::Container& one : all)
    if (one.status == "running") running.push_back(one);
  if (running.size() == 1) return running[0];
  throw Error(ErrorKind::refused, "no container to work in", via.text(),
              running.empty()
                  ? all.empty() ? "it has none" : "it does not run: " + all[0].name + " is " + all[0].status
                  : "it has " + std::to_string(running.size()) + " of them",
              running.empty() ? "start it first: service.start" : "relight drives services of one container");
}

}  // namespace relight
