// postgres.restore: a database out of a dump, restored under a hidden name, checked, and renamed.
#include "runner/step/newer.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/activity.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/database_state.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/dump_restore.h"
#include "steps/postgres/lib/globals.h"
#include "steps/postgres/lib/rename.h"
#include "steps/postgres/lib/rename_definition.h"

namespace relight {
namespace {

using namespace postgres;

Problem problem_of(const Error& error) {
  return {error.failed, error.on, error.why, error.hint};
}

class Restore : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    for (const char* field : {"database", "server", "via"})
      if (params.has(field) && !params.known(field)) return {};
    return {"database:" + database_target(params)};
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    for (const char* field :
         {"dump", "database", "server", "via", "owner", "made_at", "only", "exclude", "globals"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.summary =
            "restore database " + shown(params.all()["database"]) + " from " + shown(params.all()["dump"]);
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    try {
      const DatabaseServer server(params, call);
      std::optional<sys::Sql> sql =
          server.foresee(call, preview, ": what it lacks for this dump is told once it does");
      if (sql && DatabaseSwitch(call, *sql, server.database()).state() == DatabaseSwitch::State::switched) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = "the database " + server.database() + " is restored";
        return preview;
      }
      foresee_dump(params, call, server, sql ? &*sql : nullptr, preview, planned_depth(call));
    } catch (const Error& error) {
      preview.problems.push_back(problem_of(error));
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch move(call, sql, server.database());
    if (move.state() == DatabaseSwitch::State::nothing) {
      const Json old = database_definition(sql, server.database());
      restore_beside(params, call, server, sql, move, old, [&](const DumpLook& dump) {
        call.note("restoring", {{"under", move.fresh()}});
        call.note("carried", old.is_null()
                                 ? carried(server.database(), dump.definition, params.text_or("owner", ""))
                                 : std::vector<std::string>());
        failpoint("postgres.restore:begun");
        if (params.has("globals")) make_missing_roles(read_globals(globals_of(params)), sql, call);
      });
    }
    move.commit(params.flag("end_sessions"), [&] {
      const Json old = database_definition(sql, server.database());
      if (!old.is_null()) return carried(server.database(), old, params.text_or("owner", ""));
      return call.notes().at("carried").get<std::vector<std::string>>();
    });
    if (!call.notes().contains("activity")) call.note("activity", activity_of(server, sql, call));
    Json outputs = call.notes().at("restored");
    outputs["url"] = server.url(server.database());
    outputs["database"] = server.database();
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    if (!call.notes().contains("restoring")) return;  // nothing was changed yet
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch move(call, sql, server.database());
    move.revert(params.flag("end_sessions"));
    move.drop_new();
    failpoint("postgres.restore:dropped");
    drop_made_roles(sql, call);
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    if (!call.notes().contains("restoring")) return;
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch(call, sql, server.database()).discard();
  }

  Json kept(const Params& params, Call& call, const Json*) const override {
    if (!call.notes().contains("restoring")) return Json::array();
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    const std::string old = DatabaseSwitch(call, sql, server.database()).kept();
    if (old.empty()) return Json::array();
    return Json::array({{{"on", "database " + old}, {"bytes", size_of(sql, old)}}});
  }

  void settle(const Params& params, Call& call) const override {
    if (!call.notes().contains("restoring")) return;
    end_left_at_server(params, call);
  }

  std::vector<std::string> newer(const Params& params, Call& call, sys::Time) const override {
    if (!call.notes().contains("activity")) return {};
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    const std::string told = written_between(call.notes()["activity"], activity_of(server, sql, call));
    if (told.empty()) return {};
    return {"database " + server.database() + ": " + told + taken_away};
  }

  std::string state_digest(const Params& params, Call& call) const override {
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    return database_state(server, sql, call);
  }
};

}  // namespace

extern const StepType postgres_restore;
const StepType postgres_restore = {
    .name = "postgres.restore",
    .doc =
        "Restore a database from a dump: custom (-Fc), directory (-Fd), tar (-Ft) or plain SQL.\n"
        "It is restored into a database of a hidden name, checked, and put in place by two renames in one "
        "transaction; "
        "encoding, locale, owner, rights, connection limit, settings and comment of the database are carried "
        "over, and the old one is kept. A plain dump is read before psql gets a line of it: one that leads "
        "to another "
        "database, starts a program, reads a file of the host or changes roles is refused with its line. "
        "Roles that the dump names must be there, or come from `globals`. An archive is restored item by "
        "item: "
        "killed or failed, it goes on with the tables, indexes and keys that it has not yet. What is written "
        "into the new database after the step is "
        "lost by its undo.",
    .example =
        "postgres.restore \"database\" { dump = \"/backup/aihummer.dump\", database = \"aihummer\", as = "
        "\"postgres\" }",
    .fields =
        {
            {.name = "dump",
             .type = FieldType::location,
             .required = true,
             .fallback = "",
             .doc = "the dump: a file, or the folder of a directory dump",
             .example = "\"/backup/aihummer.dump\"",
             .choices = {}},
            {.name = "database",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "the database's name",
             .example = "\"aihummer\"",
             .choices = {}},
            server_via_field(),
            server_field(),
            password_field(),
            {.name = "jobs",
             .type = FieldType::integer,
             .required = false,
             .fallback = "",
             .doc =
                 "how many at once (custom and directory dumps); when not given, as many as there are cores",
             .example = "4",
             .choices = {}},
            {.name = "only",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "tables (\"public.notes\", \"notes\") and schemas (\"public\") of the dump: they are "
                    "restored with all that belongs to them and that they need, and nothing else; not of a "
                    "plain dump",
             .example = "{ \"public.notes\" }",
             .choices = {}},
            {.name = "exclude",
             .type = FieldType::list,
             .required = false,
             .fallback = "",
             .doc = "tables and schemas that are left out, with all that needs them; not of a plain dump",
             .example = "{ \"audit\" }",
             .choices = {}},
            {.name = "globals",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc =
                 "a file made by pg_dumpall --globals-only: its roles that the server lacks are made, with "
                 "their passwords and memberships; those that are there stay as they are",
             .example = "\"/backup/globals.sql\"",
             .choices = {}},
            {.name = "owner",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "the role that owns the database; when not given, the owner of the one there, else the "
                    "dump's",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "made_at",
             .type = FieldType::time,
             .required = false,
             .fallback = "",
             .doc =
                 "when the dump was begun, up to which nothing is lost; when not given, as the dump says, in "
                 "this host's time zone (a plain dump says it with pg_dump --verbose only)",
             .example = "\"2026-11-21T10:26:00Z\"",
             .choices = {}},
            {.name = "end_sessions",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "false",
             .doc = "end the sessions that are open in the database when it is replaced; else they fail the "
                    "step",
             .example = "true",
             .choices = {}},
        },
    .outputs =
        {
            {.name = "url", .doc = "how later steps reach the database, without a password"},
            {.name = "database", .doc = "its name"},
            {.name = "tables", .doc = "how many tables it has"},
            {.name = "bytes", .doc = "its size"},
            {.name = "last_commit",
             .doc = "when the dump was begun: what was committed before is in it; null: unknown"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Restore>,
};

}  // namespace relight
