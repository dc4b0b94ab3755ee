#include "steps/postgres/lib/container_data.h"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/server.h"

namespace relight::postgres {
namespace {

constexpr const char* what_failed = "cannot reach the data directory";

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder == "/" ? folder : folder + "/");
}

std::optional<unsigned> number(const std::string& text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Where the container's path lies on this host. A link within the volume would lead elsewhere there than
// here.
void find_folder(ContainerData& data, const sys::Container& container, const sys::Docker& docker) {
  const sys::Container::Mount* best = nullptr;
  for (const auto& mount : container.mounts)
    if (is_below(data.inside, mount.inside) && (best == nullptr || mount.inside.size() > best->inside.size()))
      best = &mount;
  if (best == nullptr)
    throw Error(ErrorKind::refused, what_failed, data.inside,
                "it lies on no volume of " + data.service + ", and goes with its container",
                "give it a volume in the compose file, or name the right path in `data`");
  if (!best->volume.empty() && !docker.is_plain_volume(best->volume))
    throw Error(ErrorKind::refused, what_failed, "volume " + best->volume,
                "it has a driver or options of its own, and is no plain folder of this host",
                "recover into a plain volume, or a folder that is mounted there");
  data.volume = best->volume.empty() ? best->source : best->volume;
  std::error_code none;
  data.folder = std::filesystem::canonical(best->source, none).string();
  if (data.folder.empty() || !sys::is_folder(data.folder))
    throw Error(ErrorKind::refused, what_failed, best->source, "there is no such folder on this host",
                "run relight, as root, on the host of the engine");
  for (const std::string& name : sys::split(data.inside.substr(best->inside.size()), '/')) {
    if (name.empty()) continue;
    data.folder += "/" + name;
    if (std::filesystem::is_symlink(data.folder, none))
      throw Error(ErrorKind::refused, what_failed, data.folder, "it is a link",
                  "name the folder itself in `data`, as the container sees it");
  }
}

// The line of a user in an image's /etc/passwd.
std::optional<sys::Owner> user_in(const std::string& passwd, const std::string& name) {
  for (const std::string& line : sys::split(passwd, '\n')) {
    const std::vector<std::string> fields = sys::split(line, ':');
    if (fields.size() < 4 || (fields[0] != name && fields[2] != name)) continue;
    const auto uid = number(fields[2]), gid = number(fields[3]);
    if (uid && gid) return sys::Owner{*uid, *gid};
  }
  return std::nullopt;
}

// Of the cluster there, else the user whom the server is started as, else the image's postgres.
std::optional<sys::Owner> owner_of(const ContainerData& data, const sys::Container& container,
                                   const sys::Docker& docker) {
  struct stat status {};
  if (stat((data.folder + "/PG_VERSION").c_str(), &status) == 0 && status.st_uid != 0)
    return sys::Owner{status.st_uid, status.st_gid};
  const std::size_t colon = container.user.find(':');
  const std::string user = container.user.substr(0, colon);
  const auto uid = number(user);
  if (colon != std::string::npos)
    if (const auto gid = number(container.user.substr(colon + 1)); uid && gid) return sys::Owner{*uid, *gid};
  const std::string passwd = docker.file_in(container, "/etc/passwd");
  const bool named = !user.empty() && user != "root" && user != "0";
  if (const auto found = user_in(passwd, named ? user : "postgres")) return found;
  if (uid && *uid != 0) return sys::Owner{*uid, 0};  // as the engine takes it
  return std::nullopt;
}

sys::Container only_container(const sys::Compose& compose, const Via& via) {
  const std::vector<sys::Container> all = compose.containers(via.service);
  if (all.size() == 1) return all[0];
  throw Error(ErrorKind::refused, what_failed, via.text(),
              all.empty() ? "it has no container" : "it has " + std::to_string(all.size()) + " containers",
              all.empty() ? "make it without starting it: docker compose -f " + via.file + " up --no-start " +
                                via.service
                          : "relight drives services of one container");
}

ContainerData served_by(const Via& via, const sys::Container& container) {
  ContainerData data;
  data.service = via.text();
  data.image = container.image_id;
  return data;
}

// Where its data lies in the container; empty: nobody says.
std::string pgdata_of(const sys::Container& container) {
  const auto found = container.env.find("PGDATA");
  return found == container.env.end() ? "" : sys::absolute(found->second);
}

sys::Owner need_owner(const ContainerData& data, const sys::Container& container, const sys::Docker& docker) {
  const auto owner = owner_of(data, container, docker);
  if (owner && owner->uid != 0) return *owner;
  throw Error(ErrorKind::refused, "cannot tell whose the data directory is", data.service,
              "neither the files there, nor the service's user, nor the image's /etc/passwd tell of a user "
              "other than root",
              "write user: \"UID:GID\" for the service in the compose file");
}

}  // namespace

ContainerData container_data_from(const Json& json) {
  return {.service = json.at("service"),
          .inside = json.at("inside"),
          .folder = json.at("folder"),
          .volume = json.at("volume"),
          .image = json.at("image"),
          .owner = {json.at("uid").get<uid_t>(), json.at("gid").get<gid_t>()}};
}

ContainerData container_data(const Via& via, const std::string& inside, Call& call) {
  if (call.notes().contains(container_note)) return container_data_from(call.notes()[container_note]);
  const sys::Compose compose = compose_of(via, call);
  const sys::Container container = only_container(compose, via);
  ContainerData data = served_by(via, container);
  data.inside = inside.empty() ? pgdata_of(container) : sys::absolute(inside);
  if (data.inside.empty())
    throw Error(ErrorKind::refused, what_failed, data.service, "its image sets no PGDATA",
                "write data = the data directory's path in the container");
  find_folder(data, container, compose.docker());
  data.owner = need_owner(data, container, compose.docker());
  return data;
}

ContainerData container_of_copy(const Via& via, const std::string& folder, Call& call) {
  if (call.notes().contains(container_note)) return container_data_from(call.notes()[container_note]);
  const sys::Compose compose = compose_of(via, call);
  const sys::Container container = only_container(compose, via);
  ContainerData data = served_by(via, container);
  data.inside = pgdata_of(container);
  try {
    if (!data.inside.empty()) find_folder(data, container, compose.docker());
  } catch (const Error& error) {
    if (error.kind != ErrorKind::refused) throw;
    data.folder.clear();  // what production has may lie anywhere
  }
  data.owner = need_owner(data, container, compose.docker());
  data.inside = data.folder = data.volume = folder;
  return data;
}

Json to_json(const ContainerData& data) {
  return {{"service", data.service}, {"inside", data.inside}, {"folder", data.folder},
          {"volume", data.volume},   {"image", data.image},   {"uid", data.owner.uid},
          {"gid", data.owner.gid}};
}

void note_container(Call& call, const ContainerData& data) {
  if (!call.notes().contains(container_note)) call.note(container_note, to_json(data));
}

bool nothing_begun(const Params& params, const Call& call) {
  return params.has("via") && !call.notes().contains(container_note);
}

bool foresee_container(const Params& params, Call& call, Preview& preview) {
  const auto via = via_of(params, call);
  if (!via || !nothing_begun(params, call)) return true;
  if (!foresee_via(*via, call, preview)) return false;
  if (!compose_of(*via, call).containers(via->service).empty()) return true;
  preview.verdict = Preview::Verdict::cannot_yet_tell;
  preview.hints.push_back(
      via->text() +
      " has no container yet, and so no volume: an earlier step must make it, as docker compose -f " +
      via->file + " up --no-start " + via->service + " does");
  return false;
}

std::string server_on(const std::string& folder, const std::optional<ContainerData>& container) {
  if (container) {  // the number in its postmaster.pid is one of the container's own
    const sys::Docker docker([](sys::Command command) { return sys::run(command); });
    const auto names = docker.running_with(container->volume);
    return names.empty() ? "" : "container " + names[0] + " runs on it";
  }
  const auto pid = running_server(folder);
  return pid ? "a server runs on it, pid " + std::to_string(*pid) : "";
}

void refuse_while_served(const std::string& folder, const std::optional<ContainerData>& container,
                         ErrorKind kind, const std::string& hint) {
  if (const std::string who = server_on(folder, container); !who.empty())
    throw Error(kind, "a server runs on the data directory", folder, who, hint);
}

std::unique_ptr<sys::MadeFor> owner_for(const std::optional<ContainerData>& container) {
  return container ? std::make_unique<sys::MadeFor>(container->owner) : nullptr;
}

}  // namespace relight::postgres
