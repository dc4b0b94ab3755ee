// postgres.keep: a copy of a database, or of a stopped cluster, as it is now, to go back to.
#include "runner/step/access.h"
#include "runner/step/in_image.h"
#include "runner/step/kept_copy.h"
#include "runner/step/newer.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/activity.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/database_state.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_restore.h"
#include "steps/postgres/lib/rename.h"
#include "steps/postgres/lib/rename_definition.h"
#include "steps/postgres/lib/server.h"

namespace relight {
namespace {

using namespace postgres;

std::string data_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("data")));
}

void check_given(const Params& params) {
  if (params.has("data") == params.has("database"))
    throw Error(
        ErrorKind::refused, "cannot tell what to keep", "postgres.keep",
        "`data` and `database` are " + std::string(params.has("data") ? "both" : "neither") + " given",
        "write database = \"NAME\" for one database of a running server, data = \"/path\" for a cluster "
        "that is stopped");
  if (params.has("data") && params.has("dump"))
    throw Error(ErrorKind::refused, "cannot go back to this backup", "postgres.keep",
                "`dump` is of one database, and `data` names a whole cluster",
                "keep its databases, each with its dump, or leave `dump` out");
}

std::string told_of(const Params& params, const DumpLook& dump) {
  const auto moment = moment_of_dump(params, dump);
  return "the backup " + params.text("dump") +
         (moment ? " of " + sys::show_time(*moment) : ", which does not say of when it is");
}

// Looks at the backup that would stand in for a copy that is gone: whether it could be restored, and where.
DumpLook need_backup(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                     DumpDepth depth) {
  const std::string path = sys::absolute(params.text("dump"));
  const auto person = [](const Problem& problem) {
    return Error(ErrorKind::needs_person, problem.what, problem.on, problem.why, problem.hint);
  };
  if (!sys::exists(path))
    throw person({"cannot read the dump", path, "it is not there", "bring the backup back to its place"});
  Preview seen;
  const DumpLook dump = foresee_dump(params, call, server, &sql, seen, depth);
  if (!seen.problems.empty()) throw person(seen.problems.front());
  if (seen.verdict == Preview::Verdict::cannot_yet_tell)
    throw person({"cannot restore the dump", path, sys::join(seen.hints, "; "), "mend that first"});
  for (const auto& [folder, bytes] : seen.space)
    if (const std::uint64_t free = sys::free_bytes(folder); free < bytes)
      throw person(
          {"too little disk space", folder,
           sys::show_size(bytes) + " needed beside what lies there, " + sys::show_size(free) + " free",
           "free some, then go on"});
  return dump;
}

// A cluster that is stopped: the folder is all there is of it.
void check_cluster(const std::string& data) {
  if (const auto server = running_server(data))
    throw Error(ErrorKind::refused, "a copy of a running cluster is worth nothing", data,
                "a server runs on it (pid " + std::to_string(*server) + ")",
                "stop it in a step before this one, or keep its database: database = \"NAME\"");
  const ClusterThere there = look_at(data);
  if (!there.tablespaces.empty())
    throw Error(ErrorKind::refused, "a copy of the folder would not be the cluster", data,
                "it has tablespaces outside of it: " + sys::join(there.tablespaces, ", "),
                "keep its databases: database = \"NAME\"");
}

class Keep : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    if (params.has("data")) return path_target(params, "data");
    if (!params.has("database") || !params.known("database") ||
        (params.has("server") && !params.known("server")) || (params.has("via") && !params.known("via")))
      return {};
    return {"database:" + database_target(params)};
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    preview.summary = "keep a copy of " + shown(params.all()[params.has("data") ? "data" : "database"]);
    for (const char* field : {"data", "database", "server", "via"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    try {
      check_given(params);
      params.has("data") ? foresee_cluster(data_of(params, call), call, preview)
                         : foresee_database(params, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    check_given(params);
    if (params.has("data")) {
      const std::string data = data_of(params, call);
      KeptCopy copy(call, data);
      if (!copy.whole()) check_cluster(data);
      copy.make();
      const Json kept = copy.kept();
      return {{"copy", kept.empty() ? "" : kept[0]["on"]}};
    }
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch move(call, sql, server.database());
    if (move.state() == DatabaseSwitch::State::nothing) copy_database(params, call, server, sql, move);
    return {{"copy", move.fresh()}};
  }

  void undo(const Params& params, Call& call, const Json* outputs) const override {
    const bool made = outputs != nullptr && outputs->at("copy") != "";
    if (params.has("data")) {
      KeptCopy copy(call, data_of(params, call));
      if (const auto running = running_server(data_of(params, call)); running && copy.whole())
        throw Error(ErrorKind::permanent, "cannot go back to the kept cluster", data_of(params, call),
                    "a server runs on the one that is to be put aside (pid " + std::to_string(*running) + ")",
                    "stop it, then roll back again");
      return copy.put_back(made);
    }
    if (!call.notes().contains("definition")) return;  // nothing was made yet
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch move(call, sql, server.database());
    if (move.state() == DatabaseSwitch::State::nothing) {
      if (!made) return move.drop_new();
      if (!params.has("dump"))
        throw copy_is_gone(call, "database " + server.database(), "database " + move.fresh());
      take_backup(params, call, server, sql, move);
    }
    move.commit(params.flag("end_sessions"),
                [&] { return carried(server.database(), call.notes().at("definition"), ""); });
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    if (params.has("data")) return KeptCopy(call, data_of(params, call)).discard();
    if (!call.notes().contains("definition")) return;
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    DatabaseSwitch move(call, sql, server.database());
    move.state() == DatabaseSwitch::State::switched ? move.discard() : move.drop_new();
  }

  Json kept(const Params& params, Call& call, const Json*) const override {
    if (params.has("data")) return KeptCopy(call, data_of(params, call)).kept();
    if (!call.notes().contains("definition")) return Json::array();
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    const DatabaseSwitch move(call, sql, server.database());
    std::string name = move.kept();
    if (move.state() == DatabaseSwitch::State::marked) name = move.fresh();
    if (name.empty()) return Json::array();
    const std::string bytes = sql.query("SELECT pg_database_size($1::name)", {name}).one();
    return Json::array({{{"on", "database " + name}, {"bytes", std::stoull(bytes)}}});
  }

  std::vector<std::string> newer(const Params& params, Call& call, sys::Time) const override {
    if (params.has("data")) return KeptCopy(call, data_of(params, call)).newer();
    if (!call.notes().contains("activity")) return {};
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    const std::string of = "database " + server.database();
    const DatabaseSwitch move(call, sql, server.database());
    std::vector<std::string> lines;
    if (move.state() == DatabaseSwitch::State::nothing) {
      if (!params.has("dump")) return {of + ": " + copy_gone};
      try {
        const DumpLook dump = need_backup(params, call, server, sql, DumpDepth::every_byte);
        lines.push_back(told_instead(of, told_of(params, dump)));
      } catch (const Error& error) {
        throw no_way_back(of, error);
      }
      if (!move.there(server.database())) return lines;
    }
    const std::string told = written_between(call.notes()["activity"], activity_of(server, sql, call));
    if (!told.empty()) lines.push_back(of + ": " + told + kept_aside);
    return lines;
  }

  void settle(const Params& params, Call& call) const override {
    if (params.has("data") || !call.notes().contains("definition")) return;
    end_left_at_server(params, call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    if (params.has("data")) return sys::tree_digest(data_of(params, call));
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call);
    return database_state(server, sql, call);
  }

 private:
  static void foresee_cluster(const std::string& data, Call& call, Preview& preview) {
    const KeptCopy copy(call, data);
    copy.foresee(preview);
    if (copy.whole()) return;
    if (const auto server = running_server(data)) {
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back("a server runs on " + data + " (pid " + std::to_string(*server) +
                              "): stop it in a step before this one");
    } else {
      check_cluster(data);
    }
  }

  static void foresee_database(const Params& params, Call& call, Preview& preview) {
    const DatabaseServer server(params, call);
    std::optional<sys::Sql> sql = server.foresee(call, preview);
    if (!sql) return;
    const DatabaseSwitch move(call, *sql, server.database());
    if (move.state() != DatabaseSwitch::State::nothing) {
      preview.verdict = Preview::Verdict::nothing_to_do;
      preview.summary = "a copy of the database " + server.database() + " is kept";
      return;
    }
    const sys::Rows row = sql->query(
        "SELECT pg_database_size(oid), current_setting('data_directory') FROM pg_database WHERE datname = $1",
        {server.database()});
    if (row.rows.empty())
      throw Error(ErrorKind::refused, "cannot keep a copy", server.database(),
                  "the server has no database of that name", "correct `database`");
    const std::uint64_t bytes = std::stoull(row.one());
    const std::string what = "the database " + server.database() + " (" + sys::show_size(bytes) + ")";
    preview.summary = "keep a copy of " + what;
    preview.keeps.push_back("a copy of " + what);
    preview.hints.push_back("what is stopped before stays down while it is copied");
    // In a container it is a path of the container's.
    if (!params.has("via") && sys::is_folder(row.rows[0][1].value_or("")))
      preview.space[*row.rows[0][1]] = bytes;
    const auto open = sessions_of(*sql, server.database());
    if (!open.empty() && !params.flag("end_sessions"))
      preview.hints.push_back("it is in use now (" + sys::join(open, "; ") +
                              "): stop what uses it in a step before this one");
  }

  static void copy_database(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                            DatabaseSwitch& move) {
    const Json definition = database_definition(sql, server.database());
    if (definition.is_null())
      throw Error(ErrorKind::refused, "cannot keep a copy", server.database(),
                  "the server has no database of that name", "correct `database`");
    call.note("definition", definition);
    failpoint("postgres.keep:noted");
    if (params.flag("end_sessions"))
      sql.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> "
          "pg_backend_pid()",
          {server.database()});
    const auto open = params.flag("end_sessions") ? std::vector<std::string>()
                                                  : sessions_that_stay(sql, server.database(), call);
    if (!open.empty())
      throw Error(ErrorKind::permanent, "the database is in use, so it cannot be copied", server.database(),
                  sys::join(open, "; "),
                  "stop what uses it before this step (service.stop), or write end_sessions = true");
    call.note("activity", activity_of(server, sql, call));
    const bool by_file = std::stoi(sql.query("SHOW server_version_num").one()) >= 150000;
    move.make("CREATE DATABASE " + sys::quote_identifier(move.fresh()) + " TEMPLATE " +
              sys::quote_identifier(server.database()) + (by_file ? " STRATEGY file_copy" : "") +
              " ALLOW_CONNECTIONS false");
    failpoint("postgres.keep:copied");
    move.mark();
  }

  static void take_backup(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                          DatabaseSwitch& move) {
    const std::string of = "database " + server.database();
    try {
      // Of an undo that was killed.
      if (params.has("via")) end_in_image(call);
      end_sessions_named(sql, server.session());
      // Once it is begun, what is missing of it is not known: a full disk is told then by what fills it.
      if (!call.notes().contains(from_backup_note))
        need_backup(params, call, server, sql, planned_depth(call));
      restore_beside(params, call, server, sql, move, call.notes().at("definition"),
                     [&](const DumpLook& dump) {
                       note_instead(call, of, told_of(params, dump));
                       failpoint("postgres.keep:from_backup");
                     });
    } catch (const Error& error) {
      if (error.kind == ErrorKind::transient) throw;
      throw no_way_back(of, error);
    }
  }
};

}  // namespace

extern const StepType postgres_keep;
const StepType postgres_keep = {
    .name = "postgres.keep",
    .doc =
        "Keep a copy of a database, or of a stopped cluster, for a rollback without a restore.\n"
        "Stop what writes to it in a step before, so that no commit is lost: the copy is what a rollback "
        "puts "
        "back, by two renames in one transaction, or one exchange of folders. What was written since is put "
        "aside "
        "then, until `relight keep --drop`. With `database` the server runs, and copies it as a template; "
        "with "
        "`data` the cluster is stopped, and its folder is copied (blocks are shared where the file system "
        "can). Where the copy is gone by then, the database is restored from `dump`, a backup that was taken "
        "before: a rollback tells that first, and does not begin where the backup would not restore.",
    .example = "postgres.keep \"keep\" { database = \"aihummer\", as = \"postgres\" }",
    .fields =
        {
            {.name = "database",
             .type = FieldType::text,
             .required = false,
             .fallback = "",
             .doc = "a database of a server that runs",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "data",
             .type = FieldType::path,
             .required = false,
             .fallback = "",
             .doc = "the data directory of a cluster that is stopped",
             .example = "\"/var/lib/postgresql/15/main\"",
             .choices = {}},
            {.name = "dump",
             .type = FieldType::location,
             .required = false,
             .fallback = "",
             .doc = "the backup of `database` that a rollback takes where the copy is gone: what "
                    "postgres.restore takes; without one it stops there",
             .example = "dump.path",
             .choices = {}},
            server_via_field(),
            server_field(),
            password_field(),
            {.name = "end_sessions",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "false",
             .doc = "end the sessions that are open in the database when it is copied or put back; else they "
                    "fail "
                    "the step",
             .example = "true",
             .choices = {}},
        },
    .outputs = {{.name = "copy", .doc = "the copy: a hidden database or folder; empty: nothing to keep"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "what was written since, put aside",
    .drill = Drill::refused,
    .is_probe = false,
    .make = make_step<Keep>,
};

}  // namespace relight
