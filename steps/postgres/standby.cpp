// postgres.standby: a standby made anew from its primary.
#include "runner/step/in_image.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/field.h"
#include "steps/postgres/lib/made_cluster.h"
#include "steps/postgres/lib/settings.h"
#include "steps/postgres/lib/tablespaces.h"
#include "steps/postgres/lib/taken_settings.h"

namespace relight {
namespace {

using namespace postgres;

constexpr const char* what_failed = "cannot make a standby";
constexpr const char* slot_note = "slot";

// `via` is where the standby lies.
DatabaseServer primary_of(const Params& params, Call& call) {
  return {params, call, false};
}

bool has_slot(sys::Sql& sql, const std::string& slot) {
  return !sql.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", {slot}).rows.empty();
}

// Whose copies of one version run: of the container's image, else of this host.
std::optional<Programs> programs_at(const std::optional<ContainerData>& container, int major,
                                    const Call& call) {
  if (!container) return Programs::find(major);
  return Programs::in({.id = container->image, .owner = container->owner, .reads = {}, .call = &call}, major);
}

// What a container cannot follow, or have.
void foresee_image(const ContainerData& container, sys::Sql& sql, const Call& call, Preview& preview) {
  const auto problem = [&](const std::string& on, const std::string& why, const std::string& hint) {
    preview.problems.push_back({what_failed, on, why, hint});
  };
  const int major = server_major(sql);
  const auto programs = programs_at(container, major, call);
  if (!programs)
    problem(container.service,
            "its image runs no PostgreSQL " + std::to_string(major) + ", as the primary does",
            "pin the image of that version, and make the container anew");
  else if (!programs->has("pg_basebackup"))
    problem(container.service, "its image has no pg_basebackup", "pin an image that has it");
  if (sql.query("SELECT EXISTS (SELECT FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '')").one() ==
      "t")
    problem(container.service, "the primary has tablespaces, which lie outside the data directory",
            "make the standby by a PostgreSQL of this host");
  if (!sys::exists(container.folder + "/postgresql.conf") &&
      sql.query("SELECT current_setting('config_file') = current_setting('data_directory') || "
                "'/postgresql.conf'")
              .one() != "t")
    problem(container.folder, "the primary's settings lie outside its data directory, and here are none",
            "start the service once, so that its image makes a cluster with settings, stop it, and write "
            "replace = true");
}

void foresee_primary(const Params& params, sys::Sql& sql, const DatabaseServer& primary, Preview& preview) {
  const std::string on = primary.url("postgres");
  const auto problem = [&](const std::string& why, const std::string& hint) {
    preview.problems.push_back({what_failed, on, why, hint});
  };
  const int major = server_major(sql);
  preview.summary += " (" +
                     sys::show_size(std::stoull(sql.query("SELECT sum(pg_database_size(oid)) FROM "
                                                          "pg_database")
                                                    .one())) +
                     ")";
  if (!params.has("via") && !Programs::find(major)) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("PostgreSQL " + std::to_string(major) +
                            " is not there yet: an earlier step must install " + package_of(major));
  }
  if (sql.query("SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user").one() != "t")
    problem("the user " + sql.query("SELECT current_user").one() + " may not replicate",
            "ALTER ROLE ... REPLICATION, or name another user in `server`");
  if (const std::string senders = sql.query("SHOW max_wal_senders").one(); senders == "0" || senders == "1")
    problem("max_wal_senders is " + senders + ", and a copy takes two", "set it to 4 or more, and restart");
  if (const std::string level = sql.query("SHOW wal_level").one(); level == "minimal")
    problem("wal_level is minimal", "set it to replica, and restart");
  if (!params.has("slot") &&
      sql.query("SELECT setting::bigint = 0 FROM pg_settings WHERE name = 'wal_keep_size'").one() == "t")
    preview.hints.push_back(
        "the primary keeps no WAL for the standby until it streams (wal_keep_size is 0, and no "
        "`slot` is given): start it soon");
}

// Where the primary has it, as far as nothing lies there on this host.
std::string place_of(const OldTablespace& one, const Call& call) {
  const bool free =
      !sys::exists(one.location) || (sys::is_folder(one.location) && sys::names_in(one.location).empty());
  return free ? one.location : beside_old(one.location, call.run());
}

std::vector<NewTablespace> tablespaces_of(const Params& params, Call& call, sys::Sql& sql, Preview& preview) {
  if (const auto noted = noted_tablespaces(call); !noted.empty()) return noted;
  std::vector<OldTablespace> old;
  for (const auto& row : sql.query("SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE "
                                   "pg_tablespace_location(oid) <> '' ORDER BY 1")
                             .rows)
    old.push_back({row[0].value_or(""), row[1].value_or("")});
  std::map<std::string, std::string> told;
  if (params.has("tablespaces"))
    for (const auto& [key, folder] : params.texts("tablespaces")) told[key] = call.place(folder);
  return place_tablespaces(
      old, told, [&](const OldTablespace& one) { return place_of(one, call); }, preview.problems,
      preview.hints);
}

// pg_basebackup's --tablespace-mapping=OLD=NEW, in which a backslash hides an equals sign.
std::string mapping(const NewTablespace& one) {
  const auto hidden = [](const std::string& path) {
    std::string text;
    for (const char c : path) text += c == '=' ? "\\=" : std::string(1, c);
    return text;
  };
  return "--tablespace-mapping=" + hidden(one.was) + "=" + hidden(one.folder);
}

class Standby : public MadeCluster {
 public:
  void settle(const Params& params, Call& call) const override {
    if (params.has("via") && !nothing_begun(params, call)) end_in_image(call);
    if (!call.notes().contains("copying") || call.notes().contains("outputs")) return;
    const DatabaseServer primary = primary_of(params, call);
    sys::Sql sql = primary.connect(call);
    end_sessions_named(sql, primary.session());
  }
  // What a standby holds is its primary's, and changes with it.
  std::string state_digest(const Params& params, Call& call) const override {
    const Where where = this->where(params, call);
    const std::string& data = where.data;
    if (!sys::exists(data + "/standby.signal"))
      return where.container ? sys::tree_digest(data) : content_digest(data, call);
    const auto programs = programs_at(where.container, std::stoi(sys::read_file(data + "/PG_VERSION")), call);
    return "a standby of " + (programs ? read_control(*programs, data).system_identifier : "");
  }

 private:
  const Words& words() const override {
    static const Words words{{"server", "data", "via", "tablespaces"}, "the standby", what_failed};
    return words;
  }
  std::string summary(const Params& params) const override {
    return "make a standby at " + shown_place(params);
  }
  void undo_elsewhere(const Params& params, Call& call) const override {
    clear_noted_tablespaces(call);
    if (!call.notes().contains(slot_note)) return;
    sys::Sql sql = primary_of(params, call).connect(call);
    const std::string slot = call.notes()[slot_note].get<std::string>();
    if (has_slot(sql, slot)) sql.query("SELECT pg_drop_replication_slot($1)", {slot});
  }

  void foresee(const Params& params, const Where& where, Call& call, Preview& preview) const override {
    const DatabaseServer primary = primary_of(params, call);
    preview.summary = "make a standby at " + where.data + " from " + primary.url("postgres");
    const Place place = foresee_place(params, where, preview);
    if (where.container && primary.by_address_of_this_host())
      preview.problems.push_back({what_failed, primary.url("postgres"),
                                  "in a container this address is its own",
                                  "write the address by which the container reaches the primary"});
    std::optional<sys::Sql> sql =
        primary.foresee(call, preview, ": what it lacks for a standby is told once it does");
    if (!sql) return;
    preview.space[place.way.folder] =
        std::stoull(sql->query("SELECT sum(pg_database_size(oid)) FROM pg_database").one());
    foresee_primary(params, *sql, primary, preview);
    if (where.container)
      foresee_image(*where.container, *sql, call, preview);
    else
      tablespaces_of(params, call, *sql, preview);
  }

  // In an image as the user that is to own the copy, in a folder that is there.
  static sys::Command copying(const Where& where, const Programs& programs, const std::string& folder,
                              const std::vector<NewTablespace>& tablespaces, const DatabaseServer& primary) {
    std::vector<std::string> arguments = {"--no-password",       "--pgdata=" + folder,
                                          "--wal-method=stream", "--checkpoint=fast",
                                          "--no-sync",           "--manifest-checksums=SHA256"};
    for (const NewTablespace& one : tablespaces) arguments.push_back(mapping(one));
    ClientProgram program = programs.client("pg_basebackup");
    std::vector<std::string> places;
    if (where.container) {
      program.works_as(where.container->owner);
      sys::make_folders(folder, 0700);
      places = {folder};
    }
    std::map<std::string, std::string> variables = primary.environment();
    variables["LC_ALL"] = "C";
    return program.command(std::move(arguments), std::move(places), std::move(variables));
  }

  void make(const Params& params, const Where& where, Call& call, Switch& move) const override {
    Preview preview;
    foresee(params, where, call, preview);
    refuse_by(preview);
    const DatabaseServer primary = primary_of(params, call);
    sys::Sql sql = primary.connect(call);
    const auto programs = programs_at(where.container, server_major(sql), call);
    if (!programs)
      throw Error(ErrorKind::permanent, what_failed, move.target(), "its PostgreSQL is not installed",
                  "install " + package_of(server_major(sql)));
    std::vector<NewTablespace> tablespaces;
    if (!where.container) tablespaces = tablespaces_of(params, call, sql, preview);
    const std::string name = params.text("name"), slot = params.text_or("slot", ""), folder = move.beside();
    make_parents(call, move.target());
    sys::remove_tree(folder);
    call.note("copying", primary.session());
    failpoint("postgres.standby:begun");
    if (!slot.empty() && !has_slot(sql, slot)) {
      call.note(slot_note, slot);
      sql.query("SELECT pg_create_physical_replication_slot($1, true)", {slot});
      failpoint("postgres.standby:slot");
    }
    make_noted_tablespaces(tablespaces, call);
    failpoint("postgres.standby:tablespaces");
    const sys::Result result = call.run_program(copying(where, *programs, folder, tablespaces, primary));
    if (!result.ok())
      throw Error(ErrorKind::permanent, what_failed, primary.url("postgres"), told_errors(result.err_tail),
                  "see pg_hba.conf of the primary: the user needs a line for the database replication");
    failpoint("postgres.standby:copied");
    std::vector<Problem> problems;
    std::vector<std::string> hints;
    check_base(open_base(folder), true, problems, hints, [&] { return call.stop_wanted(); });
    if (!problems.empty())
      throw Error(ErrorKind::permanent, problems[0].what, problems[0].on, problems[0].why,
                  "resume the run: the copy is made anew");
    take_settings_over(move.target(), folder);
    const std::string automatic = folder + "/postgresql.auto.conf";
    Settings settings = {{"primary_conninfo", primary.primary_conninfo(name)}};
    if (!slot.empty()) settings.emplace_back("primary_slot_name", slot);
    sys::write_file(
        automatic,
        without_recovery_settings(sys::read_file_if_there(automatic).value_or("")) + config_text(settings),
        0600);
    sys::write_file(folder + "/standby.signal", "", 0600);
    for (const NewTablespace& one : tablespaces) sys::sync_tree(one.folder);
    sys::sync_tree(folder);
    failpoint("postgres.standby:ready");

    Json url;  // of a container the address comes with its start
    if (!where.container)
      url = url_by_settings("postgres", *programs, folder, {folder, debian_config_of(move.target())});
    call.note("outputs", {{"url", url},
                          {"data", where.named},
                          {"name", name},
                          {"primary", primary.url("postgres")},
                          {"streaming",
                           "select count(*) from pg_stat_replication where state = 'streaming' and "
                           "application_name = " +
                               sys::quote_literal(name)}});
    move.mark();
    failpoint("postgres.standby:marked");
  }
};

}  // namespace

extern const StepType postgres_standby;
const StepType postgres_standby = {
    .name = "postgres.standby",
    .doc =
        "Make a standby anew from its primary, in place of the cluster there, which is kept.\n"
        "pg_basebackup copies the primary beside the data directory, every file is checked against the "
        "manifest, "
        "the settings of the cluster that was there are taken over, primary_conninfo (with the password, in "
        "a "
        "file of mode 0600) and standby.signal are written, and it is exchanged. service.start starts it; a "
        "probe.sql on the primary with the output `streaming` tells that it follows.",
    .example =
        "postgres.standby \"standby\" {\n"
        "  server = \"postgresql://replicator@10.0.0.2\", password = secret.file \"/root/replicator\",\n"
        "  data = \"/var/lib/postgresql/15/main\", replace = true, as = \"postgres\",\n"
        "}",
    .fields =
        {[] {
           Field server = server_field();
           server.doc = "the primary, as libpq takes it, without a password";
           server.required = true;
           return server;
         }(),
         password_field(), made_data_field(), made_via_field(),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("tablespaces", FieldType::texts, false, "",
               "the primary's location (or OID) of a tablespace -> its folder here; not given: the same "
               "location, where that is free, else beside it",
               "{ [\"/srv/fast\"] = \"/srv/fast-2\" }"),
         field("name", FieldType::text, false, "\"standby\"",
               "what the primary knows it by: its application_name", "\"standby1\""),
         field("slot", FieldType::text, false, "",
               "a replication slot on the primary, made where it is not there: WAL is kept until the standby "
               "has it",
               "\"standby1\"")},
    .outputs = {{.name = "url",
                 .doc =
                     "of the standby's database postgres, by its own socket; null: in a container, which has "
                     "no address before its start"},
                {.name = "data", .doc = "the data directory"},
                {.name = "name", .doc = "its application_name"},
                {.name = "primary", .doc = "of the primary's database postgres, without a password"},
                {.name = "streaming", .doc = "a query for the primary: 1 where the standby streams"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Standby>,
};

}  // namespace relight
