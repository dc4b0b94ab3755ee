// postgres.load: a dump into a cluster that is made for it, beside the old one, as fast as the disk.
#include <algorithm>
#include <thread>

#include "runner/step/newer.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/made_cluster.h"
#include "steps/postgres/lib/new_cluster.h"
#include "steps/postgres/lib/rename_definition.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/tablespaces.h"

namespace relight {
namespace {

using namespace postgres;

constexpr const char* what_failed = "cannot make a cluster of the dump";

// For this host: as asked for; else of the cluster that is there, else as the data directory is named, else
// the dump's.
int major_of(const Params& params, const std::string& data, const ClusterThere& there, const DumpLook& look) {
  if (params.has("version")) return static_cast<int>(params.integer("version"));
  if (!there.version.empty()) return std::atoi(there.version.c_str());
  const std::string named = sys::name_of_path(sys::parent_of(data));
  if (const int major = std::atoi(named.c_str()); major > 0 && std::to_string(major) == named) return major;
  return std::atoi(look.content.from_version.c_str());
}

bool has_extension(const Programs& programs, const std::string& extension) {
  if (programs.of_image())  // one that has not even this one keeps them elsewhere
    return programs.image_has(extension + ".control") || !programs.image_has("plpgsql.control");
  const std::string folder = "/usr/share/postgresql/" + std::to_string(programs.major()) + "/extension/";
  return !sys::is_folder(folder) || sys::exists(folder + extension + ".control");
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
  std::vector<NewTablespace> tablespaces;
  int major = 0;
  std::optional<Programs> programs;
};

// Those that the runbook names. Without them pg_restore leaves tablespaces out, which psql cannot.
std::vector<NewTablespace> tablespaces_of(const Params& params, Call& call, const DumpLook& look,
                                          bool in_container, Preview& preview) {
  std::set<std::string> wanted = look.content.tablespaces;
  if (const std::string own = tablespace_of(look.definition); !own.empty()) wanted.insert(own);
  wanted.erase("pg_default");
  std::vector<OldTablespace> named;
  std::map<std::string, std::string> told;
  if (params.has("tablespaces"))
    for (const auto& [name, folder] : params.texts("tablespaces")) {
      named.push_back({name, name});
      told[name] = call.place(folder);
      wanted.erase(name);
    }
  if (named.empty() && look.format != DumpFormat::plain) {
    if (!wanted.empty())
      preview.hints.push_back("the dump's tablespaces are not made, and all goes into the data directory: " +
                              sys::join({wanted.begin(), wanted.end()}, ", ") +
                              (in_container ? "" : "; to make them, name their folders in `tablespaces`"));
    return {};
  }
  for (const std::string& name : wanted)
    preview.problems.push_back(
        {"a tablespace of the dump is missing", "the new cluster", name,
         in_container ? "make the dump without: pg_dump --no-tablespaces"
                      : "name a folder for it: tablespaces = { [\"" + name + "\"] = \"/a/folder\" }"});
  if (const auto noted = noted_tablespaces(call); !noted.empty()) return noted;
  return place_tablespaces(
      named, told, [](const OldTablespace&) { return std::string(); }, preview.problems, preview.hints);
}

// The volume takes whatever version its image is of.
std::optional<Programs> programs_of_image(const Params& params, const ContainerData& container,
                                          const Call& call, Preview& preview) {
  auto programs = Programs::in({.id = container.image, .owner = container.owner, .reads = {}, .call = &call},
                               params.has("version") ? static_cast<int>(params.integer("version")) : 0);
  const auto problem = [&](std::string why, std::string hint) {
    preview.problems.push_back({what_failed, container.service, std::move(why), std::move(hint)});
  };
  if (!programs) {
    problem("its image runs no PostgreSQL" +
                (params.has("version") ? " " + std::to_string(params.integer("version")) : std::string()),
            "pin an image that does, and make the container anew");
    return programs;
  }
  for (const char* name : {"initdb", "vacuumdb"})
    if (!programs->has(name)) problem(std::string("its image has no ") + name, "pin an image that has it");
  // It looks its user up, and makes nothing.
  const sys::Result shown = sys::run(programs->command("initdb", {"--show", "--pgdata=/nowhere"}));
  if (programs->has("initdb") && !shown.ok())
    problem(told_errors(shown.err_tail),
            "write user: for the service as a user of its image, and give the volume to that one");
  return programs;
}

std::optional<Programs> programs_of_host(int major, Preview& preview) {
  auto programs = Programs::find(major);
  if (!programs) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("PostgreSQL " + std::to_string(major) +
                            " is not there yet: an earlier step must install " + package_of(major));
  }
  return programs;
}

class Load : public MadeCluster {
 public:
  // All that a server writes passes through its WAL.
  std::vector<std::string> newer(const Params& params, Call& call, sys::Time since) const override {
    const std::string data = where(params, call).data;
    if (newer_since(since, data + "/pg_wal").empty()) return {};
    return {"the cluster in " + data + " was written to" + taken_away};
  }
  std::string state_digest(const Params& params, Call& call) const override {
    const Where where = this->where(params, call);
    return where.container ? sys::tree_digest(where.data) : content_digest(where.data, call);
  }

 private:
  const Words& words() const override {
    static const Words words{
        {"dump", "data", "via", "database", "globals", "only", "exclude", "made_at", "tablespaces"},
        "the cluster",
        what_failed};
    return words;
  }
  std::string summary(const Params& params) const override {
    return "make a cluster of the dump " + shown(params.all()["dump"]);
  }
  void foresee(const Params& params, const Where& where, Call& call, Preview& preview) const override {
    outlook_on(params, where, call, preview, planned_depth(call));
  }

  void undo_elsewhere(const Params&, Call& call) const override { clear_noted_tablespaces(call); }

  Outlook outlook_on(const Params& params, const Where& where, Call& call, Preview& preview,
                     DumpDepth depth) const {
    Outlook outlook;
    const std::string data = where.data, database = params.text("database"), role = params.text("role"),
                      image = where.container ? where.container->image : "";
    const auto problem = [&](std::string what, std::string on, std::string why, std::string hint) {
      preview.problems.push_back({std::move(what), std::move(on), std::move(why), std::move(hint)});
    };
    outlook.look =
        foresee_dump(params, call, DatabaseServer({}, database, call, image), nullptr, preview, depth);
    preview.summary += ", into a new cluster at " + data;
    const Place place = foresee_place(params, where, preview);
    outlook.there = place.there;
    preview.space[place.way.folder] = std::max(outlook.look.bytes, outlook.there.bytes);
    if (database == "postgres" || database.starts_with("template"))
      problem(what_failed, database, "initdb makes a database of that name itself", "give it another name");
    if (params.has("globals")) outlook.globals = read_globals(globals_of(params));
    std::set<std::string> roles = outlook.look.content.roles;
    roles.erase(role);
    for (const std::string& made : outlook.globals.roles) roles.erase(made);
    for (const std::string& missing : roles)
      problem(
          "a role of the dump is missing", "the new cluster", missing,
          "name a file made by pg_dumpall --globals-only in `globals`, or write role = \"" + missing + "\"");
    if (where.container && params.has("tablespaces"))
      problem(what_failed, "tablespaces", "a container sees no folder but its volumes",
              "take it out: all goes into the data directory");
    outlook.tablespaces = tablespaces_of(params, call, outlook.look, where.container.has_value(), preview);
    outlook.major = major_of(params, data, outlook.there, outlook.look);
    outlook.programs = where.container ? programs_of_image(params, *where.container, call, preview)
                                       : programs_of_host(outlook.major, preview);
    if (outlook.programs)
      for (const std::string& extension : outlook.look.content.extensions)
        if (!has_extension(*outlook.programs, extension))
          problem("an extension of the dump is missing", image.empty() ? "this host" : "the image", extension,
                  image.empty()
                      ? "install its package for PostgreSQL " + std::to_string(outlook.programs->major())
                      : "pin an image that has it");
    const auto& made = outlook.globals.roles;
    if (where.container && !params.has("password") && std::find(made.begin(), made.end(), role) == made.end())
      preview.hints.push_back("the role " + role +
                              " will have no password, and nobody reaches it from another container: write "
                              "`password`, or name `globals` that tell of it");
    preview.hints.push_back(
        "the new cluster is another system: no WAL archive of the old one leads on into it. Archive it into "
        "an "
        "empty place, and take a base backup once it runs");
    return outlook;
  }

  void make(const Params& params, const Where& where, Call& call, Switch& move) const override {
    Preview preview;
    // The plan has looked at its end, and the load reads all of it.
    const Outlook outlook = outlook_on(params, where, call, preview, DumpDepth::contents);
    refuse_by(preview);
    if (!outlook.programs)
      throw Error(ErrorKind::permanent, what_failed, where.data,
                  "PostgreSQL " + std::to_string(outlook.major) + " is not installed",
                  "install " + package_of(outlook.major));
    make_parents(call, move.target());
    // Half a cluster is not gone on with: its server kept nothing safe.
    sys::remove_tree(move.beside());
    make_noted_tablespaces(outlook.tablespaces, call);
    failpoint("postgres.load:begun");
    const bool plain = outlook.look.format == DumpFormat::plain;
    const std::string database = params.text("database");
    Json outputs =
        make_cluster({.folder = move.beside(),
                      .was = move.target(),
                      .role = params.text("role"),
                      .locale = params.text("locale"),
                      .checksums = params.flag("checksums"),
                      .tablespaces = outlook.tablespaces,
                      .password = params.has("password") ? sys::trim(params.secret("password").view()) : ""},
                     *outlook.programs,
                     {.program = outlook.programs->client(plain ? "psql" : "pg_restore"),
                      .path = sys::absolute(params.text("dump")),
                      .database = database,
                      .format = outlook.look.format,
                      .jobs = jobs_of(params),
                      .mend = "mend the cause, then resume the run, which makes the cluster anew; the one "
                              "there was not touched"},
                     outlook.look, outlook.globals, call);
    const auto moment = moment_of_dump(params, outlook.look);
    Json url;  // of a container the address comes with its start
    if (!where.container)
      url = url_by_settings(database, *outlook.programs, move.beside(),
                            {move.beside(), debian_config_of(move.target())});
    outputs.update({{"url", url},
                    {"data", where.named},
                    {"database", database},
                    {"last_commit", moment ? Json(sys::show_time(*moment)) : Json(nullptr)},
                    {"system_identifier", read_control(*outlook.programs, move.beside()).system_identifier},
                    {"protected", false}});
    call.note("outputs", outputs);
    move.mark();
    failpoint("postgres.load:marked");
  }
};

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
         made_data_field(), made_via_field(),
         field("globals", FieldType::location, false, "",
               "a file made by pg_dumpall --globals-only: its roles are made, and what it says of the "
               "`tablespaces`",
               "\"/backup/globals.sql\""),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("only", FieldType::list, false, "", "tables and schemas, as of postgres.restore",
               "{ \"public.notes\" }"),
         field("exclude", FieldType::list, false, "", "tables and schemas that are left out",
               "{ \"audit\" }"),
         field("jobs", FieldType::integer, false, "",
               "how many at once; when not given, as many as there are cores", "4"),
         field("role", FieldType::text, false, "\"postgres\"", "the superuser that initdb makes",
               "\"postgres\""),
         field("password", FieldType::secret, false, "",
               "the password that `role` gets; when not given, as the globals say, else none",
               "secret.file \"/root/pg-password\""),
         field("locale", FieldType::text, false, "\"C.UTF-8\"",
               "of the cluster's own databases; the dump's has its own", "\"en_US.UTF-8\""),
         field("checksums", FieldType::boolean, false, "true", "checksums on its pages", "false"),
         field("tablespaces", FieldType::texts, false, "",
               "a tablespace of the dump -> its folder, where it is made and stays; not given: all goes into "
               "the data directory",
               "{ fast = \"/srv/fast\" }"),
         field("version", FieldType::integer, false, "",
               "its major version; when not given, of the cluster there, else as `data` is named, else the "
               "dump's; with `via` the image's",
               "15"),
         field("made_at", FieldType::time, false, "", "when the dump was begun, as of postgres.restore",
               "\"2026-11-21T10:26:00Z\"")},
    .outputs = {{.name = "url",
                 .doc = "of the database, by the server's own socket; null: in a container, which has no "
                        "address before its start"},
                {.name = "data", .doc = "the data directory"},
                {.name = "database", .doc = "its name"},
                {.name = "tables", .doc = "how many tables it has"},
                {.name = "bytes", .doc = "its size"},
                {.name = "last_commit",
                 .doc = "when the dump was begun: what was committed before is in it; null: unknown"},
                {.name = "system_identifier", .doc = "the new cluster's own"},
                {.name = "protected", .doc = "false: no base backup of the new cluster exists yet"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Load>,
};

}  // namespace relight
