// postgres.load: a dump into a cluster that is made for it, beside the old one, as fast as the disk.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "runner/step/access.h"
#include "runner/step/newer.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/new_cluster.h"
#include "steps/postgres/lib/server.h"

namespace relight {
namespace {

using namespace postgres;

constexpr const char* what_failed = "cannot make a cluster of the dump";

std::string data_of(const Params& params, Call& call) {
  return sys::absolute(call.place(params.text("data")));
}

void refuse_while_running(const std::string& data) {
  if (const auto pid = running_server(data))
    throw Error(ErrorKind::refused, "a server runs on the data directory", data,
                "its pid is " + std::to_string(*pid),
                "stop it first, with service.stop in a step before this one");
}

// As asked for; else of the cluster that is there, else as the data directory is named, else the dump's.
int major_of(const Params& params, const std::string& data, const ClusterThere& there, const DumpLook& look) {
  if (params.has("version")) return static_cast<int>(params.integer("version"));
  if (!there.version.empty()) return std::atoi(there.version.c_str());
  const std::string named = sys::name_of_path(sys::parent_of(data));
  if (const int major = std::atoi(named.c_str()); major > 0 && std::to_string(major) == named) return major;
  return std::atoi(look.content.from_version.c_str());
}

int jobs_of(const Params& params) {
  constexpr std::int64_t most = 32;
  const std::int64_t wanted =
      params.has("jobs") ? params.integer("jobs") : std::thread::hardware_concurrency();
  return static_cast<int>(std::clamp<std::int64_t>(wanted, 1, most));
}

// All that is known before a byte is written.
struct Outlook {
  ClusterThere there;
  DumpLook look;
  Globals globals;
  int major = 0;
  std::optional<Programs> programs;
};

Outlook foresee(const Params& params, Call& call, Preview& preview) {
  Outlook outlook;
  const std::string data = data_of(params, call), database = params.text("database"),
                    role = params.text("role");
  const auto problem = [&](std::string what, std::string on, std::string why, std::string hint) {
    preview.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
  };
  outlook.look = foresee_dump(params, call, DatabaseServer({}, database, call), nullptr, preview);
  preview.summary += ", into a new cluster at " + data;
  outlook.there = look_at(data);
  if (outlook.there.kind == ClusterThere::Kind::other)
    problem(what_failed, data, "what lies there is no cluster", "correct `data`, or take it away");
  if (outlook.there.kind == ClusterThere::Kind::cluster && !params.flag("replace"))
    problem(what_failed, data, "the cluster there holds data", "write replace = true to have it put aside");
  if (outlook.there.kind == ClusterThere::Kind::cluster ||
      outlook.there.kind == ClusterThere::Kind::empty_cluster)
    preview.keeps.push_back("the cluster at " + data + " (" + sys::show_size(outlook.there.bytes) + ")");
  const SwitchOutlook way = switch_outlook(data);
  if (!way.hint.empty()) preview.hints.push_back(way.hint);
  if (way.obstacle) preview.problems.push_back(*way.obstacle);
  preview.space[way.folder] = std::max(outlook.look.bytes, outlook.there.bytes);
  if (geteuid() == 0)
    problem("PostgreSQL does not run as root", data, "this step would run as root",
            "write as = \"postgres\"");
  if (database == "postgres" || database.starts_with("template"))
    problem(what_failed, database, "initdb makes a database of that name itself", "give it another name");
  if (const auto pid = running_server(data)) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("a server runs on " + data + " (pid " + std::to_string(*pid) +
                            "): stop it in a step before this one, with service.stop");
  }
  if (params.has("globals")) outlook.globals = read_globals(globals_of(params));
  std::set<std::string> roles = outlook.look.content.roles;
  roles.erase(role);
  for (const std::string& made : outlook.globals.roles) roles.erase(made);
  for (const std::string& missing : roles)
    problem(
        "a role of the dump is missing", "the new cluster", missing,
        "name a file made by pg_dumpall --globals-only in `globals`, or write role = \"" + missing + "\"");
  outlook.major = major_of(params, data, outlook.there, outlook.look);
  outlook.programs = Programs::find(outlook.major);
  if (!outlook.programs) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("PostgreSQL " + std::to_string(outlook.major) +
                            " is not there yet: an earlier step must install " + package_of(outlook.major));
  }
  const std::string extensions = "/usr/share/postgresql/" + std::to_string(outlook.major) + "/extension/";
  if (outlook.programs && sys::is_folder(extensions))
    for (const std::string& extension : outlook.look.content.extensions)
      if (!sys::exists(extensions + extension + ".control"))
        problem("an extension of the dump is missing", extensions, extension,
                "install its package for PostgreSQL " + std::to_string(outlook.major));
  preview.hints.push_back(
      "the new cluster is another system: no WAL archive of the old one leads on into it. Archive it into an "
      "empty place, and take a base backup once it runs");
  return outlook;
}

class Load : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "data");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    for (const char* field : {"dump", "data", "database", "globals", "only", "exclude", "made_at"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.summary = "make a cluster of the dump " + shown(params.all()["dump"]);
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    if (done(params, call)) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "this run has made the cluster already";
      return preview;
    }
    try {
      foresee(params, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    Switch move(call, data_of(params, call));
    settle(params, call);
    if (move.state() == Switch::State::nothing) {
      refuse_while_running(move.target());
      make(params, call, move);
    }
    if (move.state() == Switch::State::marked) refuse_while_running(move.target());
    move.commit();
    failpoint("postgres.load:committed");
    return call.notes()["outputs"];
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Switch move(call, data_of(params, call));
    settle(params, call);
    if (move.state() == Switch::State::switched) refuse_while_running(move.target());
    move.revert();
    failpoint("postgres.load:reverted");
    move.drop_new();
    remove_made_parents(call);
  }
  void discard(const Params& params, Call& call, const Json*) const override {
    Switch(call, data_of(params, call)).discard();
  }
  Json kept(const Params& params, Call& call, const Json*) const override {
    const std::string old = Switch(call, data_of(params, call)).kept();
    if (old.empty()) return Json::array();
    return Json::array({{{"on", old}, {"bytes", sys::tree_bytes(old)}}});
  }
  void settle(const Params& params, Call& call) const override {
    const Switch move(call, data_of(params, call));
    if (move.state() != Switch::State::switched) end_left_behind(move.beside());
  }
  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!done(params, call)) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }
  // All that a server writes passes through its WAL.
  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const std::string data = data_of(params, call);
    if (newer_since(since, data + "/pg_wal").empty()) return {};
    return {"the cluster in " + data + " was written to" + taken_away};
  }
  std::string state_digest(const Params& params, Call& call) const override {
    return content_digest(data_of(params, call), call);
  }

 private:
  static bool done(const Params& params, Call& call) {
    return call.notes().contains("outputs") &&
           Switch(call, data_of(params, call)).state() == Switch::State::switched;
  }

  static void make(const Params& params, Call& call, Switch& move) {
    Preview preview;
    const Outlook outlook = foresee(params, call, preview);
    if (!preview.problems.empty()) {
      const Problem& first = preview.problems.front();
      throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
    }
    if (!outlook.programs)
      throw Error(ErrorKind::permanent, what_failed, data_of(params, call),
                  "PostgreSQL " + std::to_string(outlook.major) + " is not installed",
                  "install " + package_of(outlook.major));
    make_parents(call, move.target());
    // Half a cluster is not gone on with: its server kept nothing safe.
    sys::remove_tree(move.beside());
    failpoint("postgres.load:begun");
    const bool plain = outlook.look.format == DumpFormat::plain;
    const std::string database = params.text("database");
    Json outputs = make_cluster({.folder = move.beside(),
                                 .was = move.target(),
                                 .role = params.text("role"),
                                 .locale = params.text("locale"),
                                 .checksums = params.flag("checksums")},
                                *outlook.programs,
                                {.program = outlook.programs->path(plain ? "psql" : "pg_restore"),
                                 .path = sys::absolute(params.text("dump")),
                                 .database = database,
                                 .format = outlook.look.format,
                                 .jobs = jobs_of(params)},
                                outlook.look, outlook.globals, call);
    std::string file = move.beside() + "/postgresql.conf", sockets = "/var/run/postgresql", port = "5432";
    if (!sys::exists(file)) file = debian_config_of(move.target()) + "/postgresql.conf";
    if (sys::exists(file)) {
      sockets = setting(*outlook.programs, file, move.beside(), "unix_socket_directories");
      port = setting(*outlook.programs, file, move.beside(), "port");
    }
    const auto moment = moment_of_dump(params, outlook.look);
    outputs.update({{"url", url_of(database, sockets, port)},
                    {"data", params.text("data")},
                    {"database", database},
                    {"last_commit", moment ? Json(sys::show_time(*moment)) : Json(nullptr)},
                    {"protected", false}});
    call.note("outputs", outputs);
    move.mark();
    failpoint("postgres.load:marked");
  }
};

Field field(std::string name, FieldType type, bool required, std::string fallback, std::string doc,
            std::string example) {
  return {.name = std::move(name),
          .type = type,
          .required = required,
          .fallback = std::move(fallback),
          .doc = std::move(doc),
          .example = std::move(example),
          .choices = {}};
}

}  // namespace

extern const StepType postgres_load;
const StepType postgres_load = {
    .name = "postgres.load",
    .doc =
        "Make a new cluster of a dump, as fast as the disk, in place of the one there.\n"
        "initdb makes it beside the data directory, and a quiet server (private socket, no TCP, no "
        "archiving) "
        "loads it without fsync, without WAL of the rows and with the memory for it. Then it is ANALYZEd, "
        "shut "
        "down, synced, takes over the settings of the cluster that was there, and is exchanged for it, which "
        "is "
        "kept. Killed before that, it is made anew: no server that is yours ever runs without fsync. For a "
        "cluster that is to hold nothing else; postgres.restore brings a database into a server that runs. "
        "It "
        "is a new system: nothing is protected until a base backup of it is made.",
    .example =
        "postgres.load \"database\" {\n"
        "  dump = \"/backup/aihummer.dump\", globals = \"/backup/globals.sql\", database = \"aihummer\",\n"
        "  data = \"/var/lib/postgresql/15/main\", as = \"postgres\",\n"
        "}",
    .fields =
        {field("dump", FieldType::location, true, "", "the dump: a file, or the folder of a directory dump",
               "\"/backup/aihummer.dump\""),
         field("database", FieldType::text, true, "", "the database's name", "\"aihummer\""),
         field("data", FieldType::path, true, "", "the data directory", "\"/var/lib/postgresql/15/main\""),
         field("globals", FieldType::location, false, "",
               "a file made by pg_dumpall --globals-only: its roles are made", "\"/backup/globals.sql\""),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("only", FieldType::list, false, "", "tables and schemas, as of postgres.restore",
               "{ \"public.notes\" }"),
         field("exclude", FieldType::list, false, "", "tables and schemas that are left out",
               "{ \"audit\" }"),
         field("jobs", FieldType::integer, false, "",
               "how many at once; when not given, as many as there are cores", "4"),
         field("role", FieldType::text, false, "\"postgres\"", "the superuser that initdb makes",
               "\"postgres\""),
         field("locale", FieldType::text, false, "\"C.UTF-8\"",
               "of the cluster's own databases; the dump's has its own", "\"en_US.UTF-8\""),
         field("checksums", FieldType::boolean, false, "true", "checksums on its pages", "false"),
         field("version", FieldType::integer, false, "",
               "its major version; when not given, of the cluster there, else as `data` is named, else the "
               "dump's",
               "15"),
         field("made_at", FieldType::time, false, "", "when the dump was begun, as of postgres.restore",
               "\"2026-11-21T10:26:00Z\"")},
    .outputs = {{.name = "url", .doc = "of the database, by the server's own socket"},
                {.name = "data", .doc = "the data directory"},
                {.name = "database", .doc = "its name"},
                {.name = "tables", .doc = "how many tables it has"},
                {.name = "bytes", .doc = "its size"},
                {.name = "last_commit",
                 .doc = "when the dump was begun: what was committed before is in it; null: unknown"},
                {.name = "protected", .doc = "false: no base backup of the new cluster exists yet"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Load>,
};

}  // namespace relight
