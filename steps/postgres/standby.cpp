// postgres.standby: a standby made anew from its primary.
#include <unistd.h>

#include "runner/step/access.h"
#include "runner/step/parents.h"
#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/config.h"
#include "steps/postgres/lib/content.h"
#include "steps/postgres/lib/control.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/settings.h"
#include "steps/postgres/lib/taken_settings.h"

namespace relight {
namespace {

using namespace postgres;

constexpr const char* what_failed = "cannot make a standby";
constexpr const char* slot_note = "slot";

std::string data_of(const Params& params, Call& call) {
  return sys::absolute(call.place(params.text("data")));
}

void refuse_while_running(const std::string& data) {
  if (const auto pid = running_server(data))
    throw Error(ErrorKind::refused, "a server runs on the data directory", data,
                "its pid is " + std::to_string(*pid),
                "stop it first, with service.stop in a step before this one");
}

bool has_slot(sys::Sql& sql, const std::string& slot) {
  return !sql.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", {slot}).rows.empty();
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
  if (!Programs::find(major)) {
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
  if (sql.query("SELECT count(*) FROM pg_tablespace").one() != "2")
    problem("it has tablespaces, which would be the standby's, too",
            "make this standby by pg_basebackup with its "
            "--tablespace-mapping");
  if (!params.has("slot") &&
      sql.query("SELECT setting::bigint = 0 FROM pg_settings WHERE name = 'wal_keep_size'").one() == "t")
    preview.hints.push_back(
        "the primary keeps no WAL for the standby until it streams (wal_keep_size is 0, and no "
        "`slot` is given): start it soon");
}

class Standby : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "data");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "make a standby at " + shown(params.all()["data"]);
    for (const char* field : {"server", "data"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    if (done(params, call)) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "this run has made the standby already";
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
    failpoint("postgres.standby:committed");
    return call.notes()["outputs"];
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Switch move(call, data_of(params, call));
    settle(params, call);
    if (move.state() == Switch::State::switched) refuse_while_running(move.target());
    move.revert();
    failpoint("postgres.standby:reverted");
    move.drop_new();
    if (call.notes().contains(slot_note)) {
      sys::Sql sql = DatabaseServer(params, call).connect(call);
      const std::string slot = call.notes()[slot_note].get<std::string>();
      if (has_slot(sql, slot)) sql.query("SELECT pg_drop_replication_slot($1)", {slot});
    }
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
    if (!call.notes().contains("copying") || call.notes().contains("outputs")) return;
    const DatabaseServer primary(params, call);
    sys::Sql sql = primary.connect(call);
    end_sessions_named(sql, primary.session());
  }
  Done check(const Params& params, Call& call, Json& outputs) const override {
    if (!done(params, call)) return Done::no;
    outputs = call.notes()["outputs"];
    return Done::yes;
  }
  // What a standby holds is its primary's, and changes with it.
  std::string state_digest(const Params& params, Call& call) const override {
    const std::string data = data_of(params, call);
    if (!sys::exists(data + "/standby.signal")) return content_digest(data, call);
    const auto programs = Programs::find(std::stoi(sys::read_file(data + "/PG_VERSION")));
    return "a standby of " + (programs ? read_control(*programs, data).system_identifier : "");
  }

 private:
  static bool done(const Params& params, Call& call) {
    return call.notes().contains("outputs") &&
           Switch(call, data_of(params, call)).state() == Switch::State::switched;
  }

  static void foresee(const Params& params, Call& call, Preview& preview) {
    const DatabaseServer primary(params, call);
    const std::string data = data_of(params, call);
    preview.summary = "make a standby at " + data + " from " + primary.url("postgres");
    const ClusterThere there = look_at(data);
    if (there.kind == ClusterThere::Kind::other)
      preview.problems.push_back(
          {what_failed, data, "what lies there is no cluster", "correct `data`, or take it away"});
    if (there.kind == ClusterThere::Kind::cluster && !params.flag("replace"))
      preview.problems.push_back(
          {what_failed, data, "the cluster there holds data", "write replace = true to have it put aside"});
    if (there.kind == ClusterThere::Kind::cluster || there.kind == ClusterThere::Kind::empty_cluster)
      preview.keeps.push_back("the cluster at " + data + " (" + sys::show_size(there.bytes) + ")");
    const SwitchOutlook way = switch_outlook(data);
    if (!way.hint.empty()) preview.hints.push_back(way.hint);
    if (way.obstacle) preview.problems.push_back(*way.obstacle);
    if (geteuid() == 0)
      preview.problems.push_back({"PostgreSQL does not run as root", data, "this step would run as root",
                                  "write as = \"postgres\""});
    if (const auto pid = running_server(data)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back("a server runs on " + data + " (pid " + std::to_string(*pid) +
                              "): stop it in a step before this one, with service.stop");
    }
    std::optional<sys::Sql> sql =
        primary.foresee(call, preview, ": what it lacks for a standby is told once it does");
    if (!sql) return;
    preview.space[way.folder] =
        std::stoull(sql->query("SELECT sum(pg_database_size(oid)) FROM pg_database").one());
    foresee_primary(params, *sql, primary, preview);
  }

  static void make(const Params& params, Call& call, Switch& move) {
    Preview preview;
    foresee(params, call, preview);
    if (!preview.problems.empty()) {
      const Problem& first = preview.problems.front();
      throw Error(ErrorKind::refused, first.what, first.on, first.why, first.hint);
    }
    const DatabaseServer primary(params, call);
    sys::Sql sql = primary.connect(call);
    const auto programs = Programs::find(server_major(sql));
    if (!programs)
      throw Error(ErrorKind::permanent, what_failed, move.target(), "its PostgreSQL is not installed",
                  "install " + package_of(server_major(sql)));
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
    sys::Command command =
        programs->command("pg_basebackup", {"--no-password", "--pgdata=" + folder, "--wal-method=stream",
                                            "--checkpoint=fast", "--no-sync", "--manifest-checksums=SHA256"});
    for (const auto& [variable, value] : primary.environment()) command.extra_env[variable] = value;
    const sys::Result result = call.run_program(std::move(command));
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
    sys::sync_tree(folder);
    failpoint("postgres.standby:ready");

    std::string file = folder + "/postgresql.conf", sockets = "/var/run/postgresql", port = "5432";
    if (!sys::exists(file)) file = debian_config_of(move.target()) + "/postgresql.conf";
    if (sys::exists(file)) {
      sockets = setting(*programs, file, folder, "unix_socket_directories");
      port = setting(*programs, file, folder, "port");
    }
    call.note("outputs", {{"url", url_of("postgres", sockets, port)},
                          {"data", params.text("data")},
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
         password_field(),
         field("data", FieldType::path, true, "", "the standby's data directory",
               "\"/var/lib/postgresql/15/main\""),
         field("replace", FieldType::boolean, false, "false", "put a cluster that holds data aside", "true"),
         field("name", FieldType::text, false, "\"standby\"",
               "what the primary knows it by: its application_name", "\"standby1\""),
         field("slot", FieldType::text, false, "",
               "a replication slot on the primary, made where it is not there: WAL is kept until the standby "
               "has it",
               "\"standby1\"")},
    .outputs = {{.name = "url", .doc = "of the standby's database postgres, by its own socket"},
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
