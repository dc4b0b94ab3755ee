#include "steps/postgres/lib/wish.h"

#include <filesystem>

#include "runner/sys/files.h"
#include "steps/postgres/lib/config.h"

namespace relight::postgres {

namespace {

// Where a link leads, and the next. Only the last name is followed: the folders above it keep their names.
std::string followed(std::string path) {
  std::error_code none;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(path, none); ++links) {
    const std::string to = std::filesystem::read_symlink(path, none).string();
    path = sys::absolute(to.rfind('/', 0) == 0 ? to : sys::parent_of(path) + "/" + to);
  }
  return path;
}

}  // namespace

Wish read_wish(const Params& params, Call& call) {
  Wish wish;
  wish.base = call.place(params.text("base"));
  for (const std::string& folder : params.list("wal")) wish.wal.push_back(call.place(folder));
  wish.moment = parse_moment(params.text("to"));
  if (params.has("lost_at")) wish.lost_at = sys::parse_time(params.text("lost_at"));
  wish.data_named = sys::absolute(call.place(params.text("data")));
  wish.data = followed(wish.data_named);
  if (params.has("config")) wish.config = call.place(params.text("config"));
  wish.config_into =
      params.has("config_into") ? call.place(params.text("config_into")) : debian_config_of(wish.data_named);
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

}  // namespace relight::postgres
