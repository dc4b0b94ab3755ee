#include "steps/postgres/lib/copy.h"

#include <unistd.h>

#include "runner/step/in_image.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/wait.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/replay.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/settings.h"
#include "steps/postgres/lib/tree.h"
#include "steps/postgres/lib/waldump.h"

namespace relight::postgres {

using std::chrono::milliseconds;

namespace {

constexpr std::size_t longest_socket = 107;  // sockaddr_un, less its NUL

std::string work_of(const std::string& data) {
  return data + "/" + work_folder;
}
std::string record_of(const std::string& data) {
  return work_of(data) + "/copy.json";
}
std::string log_of(const std::string& data) {
  return work_of(data) + "/log";
}

// What the server said of its end; its log begins anew with each start.
std::string last_words(const std::string& data) {
  std::string said;
  for (const std::string& line : sys::split(sys::read_file_if_there(log_of(data)).value_or(""), '\n'))
    for (const char* word : {"FATAL:  ", "PANIC:  "})
      if (const std::size_t at = line.find(word); at != std::string::npos)
        if (const std::string text = line.substr(at + 8); !text.starts_with("the database system is "))
          said = text;
  return said.empty() ? "it has ended, and did not say why" : said;
}

// By which a copy's container is told.
std::string label_of(const std::string& data) {
  return "relight.copy=" + data;
}

sys::ProcessId launch(const std::string& data, const Programs& programs, Call& call) {
  sys::write_file(log_of(data), "", 0640);  // whose the data is
  const sys::Command server =
      programs.service("postgres", {"-D", data, "-c", "config_file=" + work_of(data) + "/postgresql.conf"},
                       {data}, label_of(data), {{"RELIGHT_TOKEN", "copy " + call.run() + " " + call.step()}});
  sys::Launch launch;
  launch.argv = server.argv;
  launch.env = server.extra_env;
  launch.env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (programs.of_image())  // docker finds its engine by these
    for (char** one = environ; *one != nullptr; ++one)
      if (const std::string text = *one; text.starts_with("DOCKER_") || text.starts_with("HOME="))
        launch.env[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  if (geteuid() != 0) launch.as = sys::current_user().name;
  launch.cwd = data;  // by which it is known until it has written its pid file
  launch.log = log_of(data);
  return call.launch(launch);
}

}  // namespace

void foresee_copy(const Wish& wish, Survey& found) {
  const auto problem = [&](std::string what, std::string on, std::string why, std::string hint) {
    found.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
  };
  if (found.there.kind == ClusterThere::Kind::cluster ||
      found.there.kind == ClusterThere::Kind::empty_cluster)
    problem("a cluster is in the way of the copy", wish.data, "a paused copy lies beside all that is there",
            "name a folder of its own as `data`");
  if (!wish.config.empty())
    problem("a paused copy has no configuration of its own", wish.config,
            "its server is quiet, and obeys none but relight's", "leave `config` out");
  if ((work_of(wish.data) + "/.s.PGSQL.5432").size() > longest_socket)
    problem("the folder's name is too long for a socket", wish.data,
            "the copy answers by a socket within it, whose name has " + std::to_string(longest_socket) +
                " bytes at most",
            "name a folder with a shorter path");
}

void prepare_copy(const std::string& folder, const std::string& data, const CopyRecord& record,
                  const Demands& demands) {
  const Wish& wish = record.wish;
  Json json = {{"base", wish.base},         {"wal", wish.wal},   {"to", wish.moment.text},
               {"database", wish.database}, {"role", wish.role}, {"decision", to_json(record.decision)}};
  if (!wish.heartbeat.empty()) json["heartbeat"] = wish.heartbeat;
  if (wish.repository) json["repository"] = to_json(*wish.repository);
  if (wish.timeline) json["timeline"] = *wish.timeline;
  if (wish.lost_at) json["lost_at"] = sys::show_time(*wish.lost_at);
  for (const char* name : {"/ready", "/wal-of-base"}) sys::remove_tree(work_of(folder) + name);
  if (wish.container) json["container"] = to_json(*wish.container);
  prepare_holder(folder, data, record.decision.major, record.decision.target, demands);
  sys::write_file(record_of(folder), json.dump(), 0600);
  for (const NewTablespace& tablespace : record.decision.tablespaces) sys::sync_tree(tablespace.folder);
  sys::sync_tree(folder);
}

CopyRecord read_copy(const std::string& data, const Call& call) {
  const auto text = sys::read_file_if_there(record_of(data));
  if (!text)
    throw Error(ErrorKind::refused, "no paused copy lies there", data, record_of(data) + " is not there",
                "bring one up with postgres.recover and action = \"pause\"");
  const Json json = Json::parse(*text);
  CopyRecord record;
  record.wish.base = json.at("base");
  if (json.contains("repository")) record.wish.repository = repository_from_json(json["repository"]);
  record.wish.wal = json.at("wal").get<std::vector<std::string>>();
  record.wish.moment = parse_moment(json.at("to"));
  record.wish.database = json.at("database");
  record.wish.role = json.at("role");
  record.wish.heartbeat = json.value("heartbeat", "");
  if (json.contains("timeline")) record.wish.timeline = json["timeline"].get<Timeline>();
  if (json.contains("lost_at")) record.wish.lost_at = sys::parse_time(json["lost_at"].get<std::string>());
  if (json.contains("container")) record.wish.container = container_data_from(json["container"]);
  record.wish.call = &call;
  record.wish.data = record.wish.data_named = data;
  record.wish.pause = true;
  record.wish.old_wal = false;  // what lies there is the copy itself
  record.decision = decision_from_json(json.at("decision"));
  return record;
}

std::vector<Handed> needed_from(const std::vector<Handed>& segments, Lsn stands, std::uint64_t segment_size) {
  std::vector<Handed> needed;
  for (const Handed& one : segments)
    if (const auto name = parse_segment(one.as, segment_size); name && name->number >= stands / segment_size)
      needed.push_back(one);
  return needed;
}

bool is_up(const std::string& data) {
  return running_server(data) && takes_connections(data);
}

void take_down(const std::string& data, const std::optional<ContainerData>& container) {
  end_left_behind(data, true);
  if (container) end_in_image(label_of(data));  // one that its engine was only about to start
}

void bring_up(const std::string& data, const CopyRecord& record, const Programs& programs, Call& call) {
  std::optional<sys::ProcessId> launched;
  if (!running_server(data)) {
    take_down(data, record.wish.container);
    failpoint("postgres.copy:launching");
    launched = launch(data, programs, call);
    failpoint("postgres.copy:launched");
  }
  std::optional<sys::Sql> sql;
  const auto state = [&]() -> std::string {
    try {
      if (!takes_connections(data)) return "";
      if (!sql) sql.emplace(connect_quietly(work_of(data), "template1", record.wish.role, call));
      return recovery_state(*sql);
    } catch (const sys::SqlError& error) {
      if (error.kind != ErrorKind::transient) throw;
      sql.reset();
      return "";
    }
  };
  for (std::string now = state(); now != "paused"; now = state()) {
    call.stop_here_if_wanted();
    if (now == "open") {
      take_down(data, record.wish.container);
      throw Error(ErrorKind::permanent, "the copy did not stay at its moment", data,
                  "its server has ended the recovery by itself", "take it down, and bring up another");
    }
    // Another may have been quicker: then the one that was launched ends, and that one is it.
    if (!running_server(data) && (!launched || !sys::alive(*launched)))
      throw Error(ErrorKind::permanent, "the copy's server has ended", data, last_words(data),
                  "its log is " + log_of(data));
    sys::wait_until(milliseconds(20), milliseconds(20), {}, [] { return false; });
  }
  compare_paused(*sql, 0, record.decision.target);
  failpoint("postgres.copy:up");
}

std::string copy_url(const std::string& data, const std::string& role, const std::string& database) {
  return url_of(database, "\"" + work_of(data) + "\"", "5432", role);
}

bool stops_at_shutdown(const Programs& programs, const std::string& folder, const Stop& stop) {
  if (!stop.inclusive) return false;
  bool shutdown = false;
  const sys::TempFolder scratch;
  const Waldump dump(programs, folder + "/pg_wal", stop.timeline, scratch.path() + "/complaints", {});
  constexpr Lsn page = 8192;  // it must be able to read the whole record
  dump.read(stop.lsn, stop.lsn + page, Waldump::Of::all, [&](const WalRecord& record) {
    shutdown = record.lsn == stop.lsn && record.text.starts_with("CHECKPOINT_SHUTDOWN");
    return true;
  });
  return shutdown;
}

}  // namespace relight::postgres
