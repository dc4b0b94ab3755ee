// postgres.dump: a database backed up by pg_dump, read back, and given its name when it is whole.
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "runner/step/access.h"
#include "runner/step/addition.h"
#include "runner/step/in_image.h"
#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/dump_foresee.h"
#include "steps/postgres/lib/dump_look.h"
#include "steps/postgres/lib/set_parts.h"

namespace relight {
namespace {

using namespace postgres;

std::string into_of(const Params& params, Call& call) {
  return call.place(sys::absolute(params.text("into")));
}

// What the server says of the moment that the dump shows, and the snapshot that pg_dump is to take.
struct Moment {
  explicit Moment(sys::Sql& sql) {
    sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const sys::Rows row = sql.query(
        "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_export_snapshot() END, CASE WHEN "
        "pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, "
        "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
        "current_setting('server_version'), system_identifier FROM pg_control_system()");
    const auto& values = row.rows.at(0);
    snapshot = values[0].value_or("");
    facts = {{"lsn", values[1].value_or("")},
             {"taken_at", values[2].value_or("")},
             {"server_version", values[3].value_or("")},
             {"system_identifier", values[4].value_or("")}};
  }
  std::string snapshot;  // "" on a standby, which exports none
  Json facts;
};

constexpr std::size_t most_counted = 2000;  // tables: what lies in the journal is no catalog

// {"public.notes": 1204}, of the session's own snapshot; null where there are too many tables.
Json rows_in(sys::Sql& sql, Call& call) {
  const sys::Rows tables = sql.query(
      "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
      "WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1");
  if (tables.rows.size() > most_counted) return nullptr;
  Json rows = Json::object();
  for (const auto& row : tables.rows) {
    call.progress("count the rows", rows.size(), tables.rows.size());
    rows[*row[0]] = std::stoull(sql.query("SELECT count(*) FROM ONLY " + *row[0]).one());
  }
  return rows;
}

class Dump : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override {
    return path_target(params, "into");
  }

  Preview preview(const Params& params, Call& call) const override {
    Preview preview;
    const Json& all = params.all();
    preview.summary = "dump database " + shown(all["database"]) + " into " + shown(all["into"]);
    for (const char* field : {"database", "server", "via", "into"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(all[field]).begin();
        return preview;
      }
    preview.cannot_undo = "the dump";
    try {
      const Addition dump(call, into_of(params, call));
      if (dump.placed()) {
        preview.verdict = Preview::Verdict::nothing_to_do;
        preview.summary = "the dump is there: " + dump.path();
        return preview;
      }
      dump.foresee(0, preview);
      foresee_server(DatabaseServer(params, call), dump, call, preview);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    Addition dump(call, into_of(params, call));
    if (!dump.whole()) {
      dump.begin();
      failpoint("postgres.dump:begun");
      make(params, dump, call);
      dump.mark();
    }
    dump.place();
    failpoint("postgres.dump:placed");
    Json outputs = call.notes().at("dumped");
    outputs["path"] = dump.path();
    return outputs;
  }

  void undo(const Params& params, Call& call, const Json*) const override {
    Addition(call, into_of(params, call)).take_back();
  }

  void discard(const Params& params, Call& call, const Json*) const override {
    Addition(call, into_of(params, call)).discard();
  }

  void settle(const Params& params, Call& call) const override {
    if (!call.notes().contains("dumping")) return;
    end_left_at_server(params, call);
  }

  std::string state_digest(const Params& params, Call& call) const override {
    return sys::tree_digest(into_of(params, call));
  }

 private:
  static void foresee_server(const DatabaseServer& server, const Addition& dump, Call& call,
                             Preview& preview) {
    std::optional<sys::Sql> sql = server.foresee(call, preview);
    if (!sql) return;
    const sys::Rows size =
        sql->query("SELECT pg_database_size(oid) FROM pg_database WHERE datname = $1", {server.database()});
    if (size.rows.empty())
      throw Error(ErrorKind::refused, "cannot dump the database", server.database(),
                  "the server has no database of that name", "correct `database`");
    const std::uint64_t bytes = std::stoull(size.one());
    preview.summary =
        "dump database " + server.database() + " (" + sys::show_size(bytes) + ") into " + dump.path();
    // A dump has no indexes, and is packed: this is more than it takes.
    for (auto& [folder, needed] : preview.space) needed += bytes;
    if (const auto program = server.program("pg_dump", server_major(*sql), call); !program.there())
      throw Error(ErrorKind::refused, "cannot dump the database", "pg_dump", "there is no such program",
                  program.mend());
  }

  static void make(const Params& params, const Addition& dump, Call& call) {
    const DatabaseServer server(params, call);
    sys::Sql sql = server.connect(call, server.database());
    const int version = server_major(sql);
    const Moment moment(sql);
    call.note("dumping", server.session());
    const EndsInImage ends(call, server.in_container());
    const bool folder = params.text("format") == "directory";
    std::vector<std::string> arguments = {"--no-password", "--dbname=" + server.database(),
                                          "--format=" + params.text("format"), "--file=" + dump.beside()};
    if (!moment.snapshot.empty()) arguments.push_back("--snapshot=" + moment.snapshot);
    if (folder)
      arguments.push_back("--jobs=" + std::to_string(params.has("jobs")
                                                         ? std::max<std::int64_t>(params.integer("jobs"), 1)
                                                         : std::thread::hardware_concurrency()));
    const sys::Result result = call.run_program(
        server.program("pg_dump", version, call)
            .command(std::move(arguments), {sys::parent_of(dump.beside())}, server.environment()));
    if (!result.ok())
      throw Error(ErrorKind::permanent, "cannot dump the database", server.database(),
                  told_errors(result.err_tail));
    failpoint("postgres.dump:made");
    // A backup that nobody has read is a hope.
    const DumpLook look =
        look_at_dump(dump.beside(), server.program("pg_restore", version, call), DumpDepth::every_byte, call);
    if (chmod(dump.beside().c_str(), folder ? 0700 : 0600) != 0)
      throw system_error(errno, "cannot set the mode", dump.beside());
    sys::sync_tree(dump.beside());
    Json dumped = moment.facts;
    dumped["rows"] = params.flag("count_rows") && !moment.snapshot.empty() ? rows_in(sql, call) : Json();
    dumped.update({{"database", server.database()},
                   {"tables", look.content.tables.size()},
                   {"bytes", folder ? sys::tree_bytes(dump.beside()) : look.bytes}});
    call.note("dumped", dumped);
  }
};

}  // namespace

extern const StepType postgres_dump;
const StepType postgres_dump = {
    .name = "postgres.dump",
    .doc =
        "Back up a database by pg_dump, read back to its last byte before it counts.\n"
        "It is made under a hidden name and takes its place when it is whole; what is there already is never "
        "replaced. It shows the one moment whose position in the WAL is an output. Roles are not in it, nor "
        "their passwords. Undo leaves a dump that is whole. postgres.restore takes back what this step made.",
    .example =
        "local dump = postgres.dump \"dump\" { database = \"aihummer\", into = \"/backup/aihummer.dump\",\n"
        "  as = \"postgres\" }",
    .fields =
        {
            {.name = "database",
             .type = FieldType::text,
             .required = true,
             .fallback = "",
             .doc = "the database's name",
             .example = "\"aihummer\"",
             .choices = {}},
            {.name = "into",
             .type = FieldType::path,
             .required = true,
             .fallback = "",
             .doc = "the dump: a file, with format = \"directory\" a folder",
             .example = "\"/backup/aihummer.dump\"",
             .choices = {}},
            {.name = "format",
             .type = FieldType::choice,
             .required = false,
             .fallback = "\"custom\"",
             .doc = "custom is one file; directory is written and restored by many at once",
             .example = "\"directory\"",
             .choices = {"custom", "directory"}},
            {.name = "jobs",
             .type = FieldType::integer,
             .required = false,
             .fallback = "",
             .doc =
                 "how many at once, with format = \"directory\"; when not given, as many as there are cores",
             .example = "4",
             .choices = {}},
            {.name = "count_rows",
             .type = FieldType::boolean,
             .required = false,
             .fallback = "true",
             .doc =
                 "count each table's rows at that moment, for postgres.check: every table is read once more",
             .example = "false",
             .choices = {}},
            server_via_field(),
            server_field(),
            password_field(),
        },
    .outputs =
        {
            {.name = "path", .doc = "the dump"},
            {.name = "database", .doc = "the database's name"},
            {.name = "tables", .doc = "how many tables it holds"},
            {.name = "bytes", .doc = "its size on disk"},
            {.name = "rows",
             .doc =
                 "each table's rows, {[\"public.notes\"] = 1204}; null: not counted (a standby, or more than "
                 "2,000 tables)"},
            {.name = "lsn", .doc = "the position in the WAL that it shows: later commits may be missing"},
            {.name = "taken_at", .doc = "the server's time at that moment, in UTC"},
            {.name = "server_version", .doc = "of the server"},
            {.name = "system_identifier", .doc = "of the cluster"},
        },
    .in_doubt = InDoubt::again,
    .undo = Undo::part,
    .stays = "a dump that is whole",
    .drill = Drill::runs,
    .is_probe = false,
    .make = make_step<Dump>,
    .verify = postgres::verify_dump_part,
};

}  // namespace relight
