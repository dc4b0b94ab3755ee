#include "steps/postgres/lib/wish.h"

#include <filesystem>

#include "runner/step/via.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "steps/postgres/lib/config.h"

namespace relight::postgres {

namespace {

constexpr const char* barman = "barman";

// Where a link leads, and the next. Only the last name is followed: the folders above it keep their names.
std::string followed(std::string path) {
  std::error_code none;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(path, none); ++links) {
    const std::string to = std::filesystem::read_symlink(path, none).string();
    path = sys::absolute(to.rfind('/', 0) == 0 ? to : sys::parent_of(path) + "/" + to);
  }
  return path;
}

ContainerData container_of_wish(const Via& via, const Params& params, Call& call) {
  refuse_in_container(params);
  if (params.has("repository"))
    throw Error(ErrorKind::refused, "a repository is not recovered into a container", "repository",
                "its tool unpacks as this host's user, not as the container's",
                "name a base backup, or recover it by a PostgreSQL of this host");
  if (params.text_or("action", "") != "pause") return container_data(via, params.text_or("data", ""), call);
  if (!params.has("data"))
    throw Error(ErrorKind::refused, "cannot tell where the copy is to lie", "data", "it is not given",
                "write data = a folder of this host, beside all that the service has");
  return container_of_copy(via, sys::absolute(call.place(params.text("data"))), call);
}

}  // namespace

void refuse_in_container(const Params& params) {
  for (const char* field : {"config", "config_into", "archive_into", "tablespaces", "port"})
    if (params.has(field))
      throw Error(ErrorKind::refused, "this cannot be done in a container", field,
                  "paths and ports there are the compose file's to say", "take it out");
}

std::string Wish::config_outside() const {
  return container ? "" : debian_config_of(data_named);
}

std::string RepositoryWish::text() const {
  return tool + " " + name;
}

RepositoryWish repository_from_json(const Json& json) {
  RepositoryWish found;
  found.tool = json.begin().key();
  const Json& parts = json.begin().value();
  found.name = parts.value(found.tool == barman ? "server" : "stanza", "");
  found.config = parts.value("config", "");
  found.path = parts.value("path", "");
  found.repo = parts.value("repo", std::int64_t{0});
  found.set = parts.value("set", "");
  found.host = parts.value("host", "");
  return found;
}

Json to_json(const RepositoryWish& repository) {
  Json parts = {{repository.tool == barman ? "server" : "stanza", repository.name}};
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) parts[name] = text;
  };
  add("config", repository.config);
  add("path", repository.path);
  add("set", repository.set);
  add("host", repository.host);
  if (repository.repo != 0) parts["repo"] = repository.repo;
  return {{repository.tool, parts}};
}

Wish read_wish(const Params& params, Call& call) {
  Wish wish;
  if (params.has("base")) wish.base = call.place(params.text("base"));
  if (params.has("repository")) {
    RepositoryWish from = repository_from_json(params["repository"]);
    if (!from.config.empty() && from.host.empty()) from.config = call.place(from.config);
    if (!from.path.empty()) from.path = call.place(from.path);
    wish.repository = from;
  }
  for (const std::string& folder : params.list("wal")) wish.wal.push_back(call.place(folder));
  wish.moment = parse_moment(params.text("to"));
  if (params.has("lost_at")) wish.lost_at = sys::parse_time(params.text("lost_at"));
  if (const auto via = via_of(params, call)) {
    wish.container = container_of_wish(*via, params, call);
    wish.call = &call;
    wish.data_named = wish.container->inside;
    wish.data = wish.container->folder;
  } else if (params.has("data")) {
    wish.data_named = sys::absolute(call.place(params.text("data")));
    wish.data = followed(wish.data_named);
  } else {
    throw Error(ErrorKind::refused, "cannot tell what to recover", "data", "it is not given",
                "write data = the data directory, or `via` for one in a container");
  }
  if (params.has("config")) wish.config = call.place(params.text("config"));
  wish.config_into = params.has("config_into") ? call.place(params.text("config_into"))
                     : wish.container          ? ""
                                               : debian_config_of(wish.data_named);
  if (params.has("tablespaces"))
    for (const auto& [key, folder] : params.texts("tablespaces")) wish.tablespaces[key] = call.place(folder);
  wish.database = params.text_or("database", "postgres");
  wish.role = params.text("role");
  if (params.has("port")) wish.port = params.integer("port");
  if (params.has("version")) wish.version = static_cast<int>(params.integer("version"));
  if (params.has("timeline")) wish.timeline = static_cast<Timeline>(params.integer("timeline"));
  wish.replace = params.flag("replace");
  wish.heartbeat = params.text_or("heartbeat", "");
  if (params.has("archive_into")) wish.archive_into = sys::absolute(call.place(params.text("archive_into")));
  wish.pause = params.text_or("action", "") == "pause";
  wish.old_wal = !params.has("old_wal") || params.flag("old_wal");
  wish.moment.inclusive = !params.has("inclusive") || params.flag("inclusive");
  wish.moment.past_end = params.text_or("past_end", "refuse") == "latest";
  return wish;
}

std::optional<Programs> programs_for(const Wish& wish, int major) {
  if (!wish.container) return Programs::find(major);
  std::vector<std::string> reads = wish.wal;
  reads.push_back(wish.base);
  reads.push_back(wish.data);  // whose pg_wal may be read, too
  return Programs::in(
      {.id = wish.container->image, .owner = wish.container->owner, .reads = reads, .call = wish.call},
      major);
}

Programs need_programs(const Wish& wish, int major, const char* what_failed) {
  if (auto found = programs_for(wish, major)) return *found;
  const std::string version = "PostgreSQL " + std::to_string(major);
  if (wish.container)
    throw Error(ErrorKind::permanent, what_failed, wish.data,
                "the image of " + wish.container->service + " runs no " + version,
                "pin the image of that version, and make the container anew");
  throw Error(ErrorKind::permanent, what_failed, wish.data, version + " is not installed",
              "install " + package_of(major));
}

}  // namespace relight::postgres
