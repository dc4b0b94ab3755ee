#include "runner/sys/docker.h"

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr std::chrono::minutes docker_answers_within{1};

std::string text_at(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  return json.contains(at) && json[at].is_string() ? json[at].get<std::string>() : "";
}

Container container_from(const Json& json) {
  Container one;
  one.id = text_at(json, "/Id");
  one.name = text_at(json, "/Name");
  if (one.name.starts_with("/")) one.name.erase(0, 1);
  one.image = text_at(json, "/Config/Image");
  one.image_id = text_at(json, "/Image");
  one.started_at = text_at(json, "/State/StartedAt");
  one.ended_before = text_at(json, "/State/FinishedAt");
  if (one.ended_before.starts_with("0001-")) one.ended_before.clear();
  one.status = text_at(json, "/State/Status");
  one.health = text_at(json, "/State/Health/Status");
  if (one.health == "none") one.health.clear();
  const Json::json_pointer checks("/State/Health/Log");
  if (json.contains(checks) && json[checks].is_array() && !json[checks].empty())
    one.health_said = mend_utf8(trim(text_at(json[checks].back(), "/Output")));
  one.restart = text_at(json, "/HostConfig/RestartPolicy/Name");
  one.log_driver = text_at(json, "/HostConfig/LogConfig/Type");
  if (const int pid = json.at("State").value("Pid", 0); pid > 0) one.process = process_now(pid);
  one.exit_code = json.at("State").value("ExitCode", 0);
  const Json::json_pointer labels("/Config/Labels");
  if (json.contains(labels) && json[labels].is_object())
    one.one_off = json[labels].value("com.docker.compose.oneoff", "False") == "True";
  one.host_network = text_at(json, "/HostConfig/NetworkMode") == "host";
  const Json::json_pointer networks("/NetworkSettings/Networks");
  if (json.contains(networks) && json[networks].is_object())
    for (const Json& network : json[networks])
      if (std::string address = text_at(network, "/IPAddress"); !address.empty())
        one.addresses.push_back(std::move(address));
  one.user = text_at(json, "/Config/User");
  if (const Json::json_pointer env("/Config/Env"); json.contains(env) && json[env].is_array())
    for (const Json& line : json[env]) {
      const std::string text = line.get<std::string>();
      one.env[text.substr(0, text.find('='))] = text.substr(std::min(text.size(), text.find('=') + 1));
    }
  if (json.contains("Mounts") && json["Mounts"].is_array())
    for (const Json& mount : json["Mounts"])
      one.mounts.push_back({text_at(mount, "/Type") == "volume" ? text_at(mount, "/Name") : "",
                            text_at(mount, "/Source"), text_at(mount, "/Destination")});
  const Json::json_pointer ports("/NetworkSettings/Ports");
  if (!json.contains(ports) || !json[ports].is_object()) return one;
  for (auto it = json[ports].begin(); it != json[ports].end(); ++it) {
    if (!it.key().ends_with("/tcp") || !it->is_array()) continue;
    for (const Json& host : *it)
      one.ports.push_back({std::atoi(it.key().c_str()), text_at(host, "/HostIp"),
                           std::atoi(text_at(host, "/HostPort").c_str())});
  }
  return one;
}

}  // namespace

std::optional<int> Container::inside_of(int outside) const {
  if (host_network) return outside;
  for (const Port& port : ports)
    if (port.outside == outside) return port.inside;
  return std::nullopt;
}

std::string Container::identity() const {
  return "container:" + id + "@" + started_at;
}

std::optional<ContainerStart> container_start_from(const std::string& identity) {
  const std::size_t at = identity.find('@');
  if (!identity.starts_with("container:") || at == std::string::npos) return std::nullopt;
  return ContainerStart{identity.substr(10, at - 10), identity.substr(at + 1)};
}

bool Docker::there() {
  return !find_program("docker").empty();
}

Result Docker::docker(std::vector<std::string> arguments) const {
  Command command;
  command.argv = {"docker"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.timeout = docker_answers_within;
  return run_(std::move(command));
}

void Docker::need_engine() const {
  const Result result = docker({"version", "--format", "{{.Server.Version}}"});
  if (result.ok() && !trim(result.out).empty()) return;
  const std::string why = result.timed_out ? "no answer within a minute" : trim(result.err_tail);
  throw Error(ErrorKind::refused, "no container engine answers", "docker", why,
              "start it, as with systemctl start docker; DOCKER_HOST says which one is asked");
}

std::vector<Container> Docker::inspect(const std::vector<std::string>& ids) const {
  std::vector<Container> found;
  if (ids.empty()) return found;
  std::vector<std::string> arguments = {"container", "inspect"};
  arguments.insert(arguments.end(), ids.begin(), ids.end());
  const Result result = docker(std::move(arguments));
  const Json json = Json::parse(result.out, nullptr, false);
  if (!result.ok() && (!json.is_array() || json.empty())) need_engine();  // else none of them is there
  if (json.is_array())
    for (const Json& one : json) found.push_back(container_from(one));
  return found;
}

std::vector<Container> Docker::of_compose(const std::string& project, const std::string& service) const {
  const Result result = docker(
      {"ps", "-a", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project=" + project, "--filter",
       "label=com.docker.compose.service=" + service, "--filter", "label=com.docker.compose.oneoff=False"});
  if (!result.ok()) need_engine();
  std::vector<std::string> ids;
  for (const std::string& line : split(trim(result.out), '\n'))
    if (!line.empty()) ids.push_back(line);
  return inspect(ids);
}

std::optional<Container> Docker::inspect_one(const std::string& id) const {
  auto found = inspect({id});
  if (found.size() != 1) return std::nullopt;
  return std::move(found[0]);
}

std::vector<std::string> Docker::running_with(const std::string& volume_or_folder) const {
  const Result result =
      docker({"ps", "--no-trunc", "--filter", "volume=" + volume_or_folder, "--format", "{{.Names}}"});
  if (!result.ok()) need_engine();
  std::vector<std::string> names;
  for (const std::string& line : split(trim(result.out), '\n'))
    if (!line.empty()) names.push_back(line);
  return names;
}

bool Docker::is_plain_volume(const std::string& name) const {
  const Result result = docker({"volume", "inspect", "--format", "{{.Driver}} {{len .Options}}", name});
  return result.ok() && trim(result.out) == "local 0";
}

std::string Docker::file_in(const Container& container, const std::string& path) const {
  const TempFolder folder;
  const std::string file = folder.path() + "/file";
  return docker({"cp", "--follow-link", container.id + ":" + path, file}).ok() ? read_file(file) : "";
}

bool Docker::listens(const Container& container, int outside) {
  const auto inside = container.inside_of(outside);
  return inside && container.process.pid > 0 && !listeners_on(*inside, container.process.pid).empty();
}

std::string Docker::log_end(const Container& container) const {
  Command command;
  command.argv = {"docker", "logs", "--tail", "20"};
  // Not since it was started: what it says first may bear a time before that.
  if (container.runs() && !container.ended_before.empty())
    command.argv.insert(command.argv.end(), {"--since", container.ended_before});
  command.argv.push_back(container.id);
  command.capture_stdout = false;
  command.timeout = docker_answers_within;
  std::string said;
  command.on_output = [&](std::string_view bytes) { said += bytes; };
  run(command);
  return mend_utf8(trim(said));
}

bool Docker::has_image(const std::string& reference) const {
  return docker({"image", "inspect", "--format", "{{.Id}}", reference}).ok();
}

std::string Docker::missing_in_registry(const std::string& reference) const {
  std::vector<std::string> arguments = {"manifest", "inspect"};
  // As the engine itself takes a registry of this host.
  if (reference.starts_with("127.") || reference.starts_with("localhost:") || reference.starts_with("[::1]"))
    arguments.push_back("--insecure");
  arguments.push_back(reference);
  const Result result = docker(std::move(arguments));
  if (result.ok()) return "";
  const std::string said = mend_utf8(trim(result.err_tail));
  return result.timed_out ? "its registry has not answered within a minute"
         : said.empty()   ? "its registry does not have it"
                          : split(said, '\n').back();
}

void Docker::pull(const std::string& reference) const {
  Command command;
  command.argv = {"docker", "pull", "--quiet", reference};
  const Result result = run_(std::move(command));
  if (result.ok()) return;
  need_engine();
  throw Error(ErrorKind::transient, "cannot bring the image", reference, mend_utf8(trim(result.err_tail)),
              "see that its registry answers, and has that tag");
}

}  // namespace relight::sys
