#include "runner/sys/compose.h"

#include <unistd.h>

#include <cstdlib>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "runner/sys/yaml.h"

namespace relight::sys {
namespace {

constexpr std::chrono::minutes compose_answers_within{1};

// What compose said last, without the progress before it.
std::string said(const Result& result) {
  const std::vector<std::string> lines = split(trim(result.err_tail), '\n');
  const std::size_t from = lines.size() > 5 ? lines.size() - 5 : 0;
  return mend_utf8(join({lines.begin() + static_cast<std::ptrdiff_t>(from), lines.end()}, "; "));
}

// Where Docker's command line finds its plugins, but for what its config.json adds: to ask it takes as long
// as half of what compose is asked for.
bool has_plugin() {
  const char* config = std::getenv("DOCKER_CONFIG");
  const std::string own = config != nullptr && *config != '\0' ? config : current_user().home + "/.docker";
  for (const std::string& folder :
       {own, std::string("/usr/local/lib/docker"), std::string("/usr/local/libexec/docker"),
        std::string("/usr/lib/docker"), std::string("/usr/libexec/docker")})
    if (access((folder + "/cli-plugins/docker-compose").c_str(), X_OK) == 0) return true;
  return false;
}

}  // namespace

Compose::Compose(std::string file, std::string project, RunProgram run)
    : file_(std::move(file)), project_(std::move(project)), run_(run), docker_(std::move(run)) {}
Compose::~Compose() = default;

std::vector<std::string> Compose::program() const {
  if (!program_.empty()) return program_;
  if (Docker::there()) {
    if (has_plugin()) return program_ = {"docker", "compose"};
    Command command;
    command.argv = {"docker", "compose", "version"};
    command.timeout = compose_answers_within;
    command.on_output = [](std::string_view) {};
    if (run(command).ok()) return program_ = {"docker", "compose"};
  }
  if (!find_program("docker-compose").empty()) program_ = {"docker-compose"};
  return program_;
}

std::vector<std::string> Compose::files() const {
  std::vector<std::string> files = {file_};
  const std::string name = name_of_path(file_);
  const std::size_t dot = name.rfind('.');
  const std::string stem = name.substr(0, dot);
  if ((stem != "compose" && stem != "docker-compose") || dot == std::string::npos) return files;
  for (const char* ending : {".yml", ".yaml"})
    if (const std::string more = parent_of(file_) + "/" + stem + ".override" + ending; exists(more)) {
      files.push_back(more);
      break;
    }
  return files;
}

Result Compose::compose(std::vector<std::string> arguments, std::chrono::milliseconds timeout,
                        const std::string* text) const {
  Command command;
  command.argv = program();
  if (command.argv.empty())
    throw Error(ErrorKind::refused, "docker compose is missing", file_,
                "neither it nor docker-compose is here",
                "install docker-compose, or Docker's compose plugin");
  for (const std::string& one : files()) {
    command.argv.push_back("-f");
    command.argv.push_back(text != nullptr && one == file_ ? "-" : one);
  }
  command.argv.insert(command.argv.end(), {"--project-directory", parent_of(file_)});
  if (!project_.empty()) command.argv.insert(command.argv.end(), {"-p", project_});
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  if (text != nullptr) command.stdin_text = *text;
  command.cwd = parent_of(file_);
  command.timeout = timeout;
  return run_(std::move(command));
}

Json Compose::parsed(const Result& result) const {
  if (!result.ok())
    throw Error(ErrorKind::refused, "the compose file does not parse", file_, said(result), "correct it");
  return json_of(Yaml(result.out, file_), file_);
}

const Json& Compose::config() const {
  if (!config_) config_ = std::make_unique<Json>(parsed(compose({"config"}, compose_answers_within)));
  return *config_;
}

Json Compose::config_with(const std::string& text) const {
  return parsed(compose({"config"}, compose_answers_within, &text));
}

bool Compose::has(const std::string& service) const {
  const Json& all = config();
  return all.contains("services") && all["services"].contains(service);
}

// As it stands in the labels of its containers; empty where only compose knows.
std::string Compose::project_name() const {
  if (config().contains("name")) return config()["name"].get<std::string>();
  std::string name;
  for (const char c : project_)
    if (const int low = std::tolower(static_cast<unsigned char>(c));
        std::isalnum(low) || low == '-' || low == '_')
      name += static_cast<char>(low);
  return name;
}

std::vector<Container> Compose::containers(const std::string& service) const {
  const std::string project = project_name();
  // Far quicker than compose itself.
  if (!project.empty()) return docker_.of_compose(project, service);
  const Result result = compose({"ps", "-a", "-q", service}, compose_answers_within);
  if (!result.ok()) {
    docker_.need_engine();
    throw Error(ErrorKind::permanent, "cannot list the containers", service + " of " + file_, said(result));
  }
  std::vector<std::string> ids;
  for (const std::string& line : split(result.out, '\n'))
    if (!trim(line).empty()) ids.push_back(trim(line));
  std::vector<Container> found = docker_.inspect(ids);
  std::erase_if(found, [](const Container& one) { return one.one_off; });
  return found;
}

Result Compose::up(const std::string& service, std::chrono::milliseconds within) const {
  return compose({"up", "-d", "--no-deps", "--no-build", service}, within);
}

Result Compose::stop(const std::string& service, std::chrono::milliseconds within) const {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(within);
  return compose({"stop", "-t", std::to_string(seconds.count()), service}, within + compose_answers_within);
}

}  // namespace relight::sys
