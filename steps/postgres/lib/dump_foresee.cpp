#include "steps/postgres/lib/dump_foresee.h"

#include <algorithm>
#include <cstdlib>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/dump_moment.h"
#include "steps/postgres/lib/globals.h"
#include "steps/postgres/lib/rename.h"
#include "steps/postgres/lib/rename_definition.h"
#include "steps/postgres/lib/statistics.h"

namespace relight::postgres {
namespace {

int major_of(const std::string& version) {
  return std::atoi(version.c_str());
}

// The names of `wanted` that the query, of one column, does not give.
std::vector<std::string> missing(const std::set<std::string>& wanted, sys::Sql& sql, const char* query) {
  std::set<std::string> there;
  for (const auto& row : sql.query(query).rows) there.insert(row[0].value_or(""));
  std::vector<std::string> names;
  std::set_difference(wanted.begin(), wanted.end(), there.begin(), there.end(), std::back_inserter(names));
  return names;
}

void ask_server(const Params& params, Call& call, const DatabaseServer& server, sys::Sql& sql,
                const DumpLook& look, Preview& preview) {
  const std::string& database = server.database();
  const std::string on = "the server of " + database;
  std::set<std::string> roles = look.content.roles;
  if (params.has("owner")) roles.insert(params.text("owner"));
  if (params.has("globals")) {
    const std::vector<std::string> made = missing_roles(read_globals(globals_of(params)), sql);
    for (const std::string& role : made) roles.erase(role);
    if (!made.empty())
      preview.hints.push_back("roles that are made as `globals` says: " + sys::join(made, ", "));
  }
  for (const std::string& role : missing(roles, sql, "SELECT rolname FROM pg_roles")) {
    const std::string make = "CREATE ROLE " + sys::quote_identifier(role) + " LOGIN";
    if (call.previewing()) {  // an earlier step may make it; if none does, apply refuses before its first
                              // effect
      preview.verdict = Preview::Verdict::cannot_yet_tell;
      preview.hints.push_back("the role " + role + " is not there yet: an earlier step must make it (" +
                              make + "), or `globals` name a file that does");
    } else {
      preview.problems.push_back(
          {"a role of the dump is missing", on, role, "make it before this step: " + make});
    }
  }
  for (const std::string& extension :
       missing(look.content.extensions, sql, "SELECT name FROM pg_available_extensions"))
    preview.problems.push_back({"an extension of the dump is missing", on, extension,
                                "install its package for PostgreSQL " + std::to_string(server_major(sql))});
  for (const std::string& tablespace :
       missing(look.content.tablespaces, sql, "SELECT spcname FROM pg_tablespace"))
    preview.problems.push_back({"a tablespace of the dump is missing", on, tablespace,
                                "make it before this step, or make the dump with --no-tablespaces"});
  if (sql.query("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user").one() != "t")
    preview.problems.push_back({"the user may not make databases", on, sql.query("SELECT current_user").one(),
                                "run the step as = \"postgres\", or as a role with CREATEDB"});
  if (major_of(look.content.from_version) > server_major(sql))
    preview.hints.push_back("the dump is of PostgreSQL " + look.content.from_version +
                            ", the server is the older " + std::to_string(server_major(sql)) +
                            ": the restore may fail (the current database stays)");

  const Json old = database_definition(sql, database);
  std::uint64_t room = look.bytes;
  if (old.is_null()) {
    preview.summary += ", into a new database";
  } else {
    const std::uint64_t bytes = size_of(sql, database);
    room = std::max(room, bytes);
    preview.summary += ", in place of the one there (" + sys::show_size(bytes) + ")";
    preview.keeps.push_back("the old database " + database + " (" + sys::show_size(bytes) + ")");
    const auto sessions = sessions_of(sql, database);
    if (!sessions.empty())
      preview.hints.push_back((params.flag("end_sessions")
                                   ? "sessions that will be ended: "
                                   : "sessions that must be gone by then (end_sessions is not set): ") +
                              sys::join(sessions, "; "));
    const std::string slots = sql.query(
                                     "SELECT coalesce(string_agg(slot_name, ', '), '') FROM "
                                     "pg_replication_slots WHERE database = $1",
                                     {database})
                                  .one();
    if (!slots.empty()) preview.hints.push_back("replication slots stay with the old database: " + slots);
    const std::string encoding = old["encoding"].get<std::string>();
    if (!look.content.encoding.empty() && look.content.encoding != encoding)
      preview.hints.push_back("the dump is in " + look.content.encoding + ", the database in " + encoding +
                              ": the rows are converted");
  }
  const sys::Rows data = sql.query("SELECT setting FROM pg_settings WHERE name = 'data_directory'");
  if (!data.rows.empty() && sys::exists(call.place(data.one()))) preview.space[data.one()] = room;
}

// What is not restored: the new database holds that much less than the dump, and than the one it replaces.
void foresee_choice(const DumpLook& look, const std::string& path, Preview& preview) {
  if (look.format == DumpFormat::plain) {
    preview.problems.push_back({"a plain dump cannot be restored in part", path,
                                "it has no table of contents",
                                "take `only` and `exclude` out, or use a custom dump (pg_dump -Fc)"});
    return;
  }
  for (const std::string& name : look.selection.unknown)
    preview.problems.push_back({"the dump does not hold what is named", path, name,
                                "correct `only` or `exclude`: a schema, a table, or SCHEMA.TABLE"});
  const auto all = std::count_if(look.entries.begin(), look.entries.end(),
                                 [](const DumpEntry& entry) { return entry.kind == "TABLE"; });
  preview.summary += " of " + sys::show_count(static_cast<std::uint64_t>(all)) + ", in part";
  if (!look.selection.left_out.empty())
    preview.hints.push_back("left out, as they need what is not restored: " +
                            sys::join(look.selection.left_out, ", "));
}

}  // namespace

std::string globals_of(const Params& params) {
  return sys::absolute(params.text("globals"));
}

int server_major(sys::Sql& sql) {
  return std::stoi(sql.query("SHOW server_version_num").one()) / 10000;
}

std::uint64_t size_of(sys::Sql& sql, const std::string& database) {
  return std::stoull(sql.query("SELECT pg_database_size($1::name)", {database}).one());
}

std::optional<sys::Time> moment_of_dump(const Params& params, const DumpLook& dump) {
  return params.has("made_at") ? sys::parse_time(params.text("made_at")) : dump_moment(dump.made_at);
}

DumpDepth planned_depth(const Call& call) {
  return call.full_depth() ? DumpDepth::every_byte : DumpDepth::its_end;
}

DumpLook foresee_dump(const Params& params, Call& call, const DatabaseServer& server, sys::Sql* sql,
                      Preview& preview, DumpDepth depth) {
  const std::string path = sys::absolute(params.text("dump"));
  preview.summary = "restore the database " + server.database() + " from " + path;
  const DumpFormat format = dump_format(path);
  const std::string name = format == DumpFormat::plain ? "psql" : "pg_restore";
  const ClientProgram program = server.program(name, sql == nullptr ? 0 : server_major(*sql), call);
  if (!program.there()) {
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("the program " + name + " is not there yet: " +
                            (server.in_container() ? program.mend() : "an earlier step must install it"));
    if (format != DumpFormat::plain) return {};
  }
  const Wanted wanted{params.has("only") ? params.list("only") : std::vector<std::string>(),
                      params.has("exclude") ? params.list("exclude") : std::vector<std::string>()};
  const DumpLook look = look_at_dump(path, program, depth, call, wanted);
  const PlainContent& content = look.content;

  preview.summary += " (" + std::string(postgres::name_of(format)) + ", " + sys::show_size(look.bytes);
  const auto moment = moment_of_dump(params, look);
  if (moment) preview.summary += ", of " + sys::show_time(*moment);
  if (!content.from_version.empty()) preview.summary += ", PostgreSQL " + content.from_version;
  preview.summary +=
      "): " + sys::show_count(content.tables.size()) + (content.tables.size() == 1 ? " table" : " tables");
  if (!wanted.only.empty() || !wanted.exclude.empty()) foresee_choice(look, path, preview);
  if (format == DumpFormat::plain) preview.summary += ", " + sys::show_count(content.rows) + " rows by COPY";

  for (const PlainFinding& finding : content.findings)
    preview.problems.push_back(
        {"the dump would do more than restore its database",
         path + (format == DumpFormat::plain ? ":" + std::to_string(finding.line) : ""), finding.what,
         finding.hint});
  if (format == DumpFormat::plain && !content.by_pg_dump)
    preview.hints.push_back(
        "the dump does not say that pg_dump made it, so nothing tells whether it is whole");
  if (format != DumpFormat::plain && look.data == 0 && !content.tables.empty())
    preview.hints.push_back("the dump holds no rows (it was made with --schema-only, or of empty tables)");
  if (content.tables.empty()) preview.hints.push_back("the dump holds no tables");
  if (!moment)
    preview.hints.push_back(
        "the dump does not say when it was begun, so that RPO will be unknown: write made_at");
  if (sql != nullptr) ask_server(params, call, server, *sql, look, preview);
  return look;
}

Json checked_restore(Call& call, const DatabaseServer& server, const std::string& database,
                     const DumpLook& dump, bool analyze) {
  sys::Sql sql = server.connect(call, database);
  std::set<std::string> tables;
  std::uint64_t rows = 0, count = 0;
  const bool count_rows = dump.format == DumpFormat::plain && dump.content.by_pg_dump;
  for (const auto& row :
       sql.query("SELECT n.nspname, c.relname, c.relkind FROM pg_class c "
                 "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') "
                 "AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'")
           .rows) {
    ++count;
    tables.insert(*row[0] + "." + *row[1]);
    tables.insert(*row[1]);  // dumps of old versions name the schema once, by search_path
    if (count_rows && *row[2] == "r")
      rows += std::stoull(sql.query("SELECT count(*) FROM ONLY " + sys::quote_identifier(*row[0]) + "." +
                                    sys::quote_identifier(*row[1]))
                              .one());
  }
  const auto incomplete = [&](const std::string& why) {
    return Error(ErrorKind::permanent, "the restored database is not whole", server.database(), why,
                 "use another copy of the dump; the current database was not touched");
  };
  if (dump.content.by_pg_dump)
    for (const std::string& table : dump.content.tables)
      if (!tables.contains(table)) throw incomplete("the table " + table + " is missing");
  if (count_rows && rows < dump.content.rows)
    throw incomplete(sys::show_count(rows) + " rows are there, " + sys::show_count(dump.content.rows) +
                     " are in the dump");
  const sys::Rows invalid = sql.query(
      "SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
      "WHERE NOT indisvalid AND c.relkind = 'i'");
  if (!invalid.rows.empty()) throw incomplete("the index " + invalid.one() + " is not valid");
  if (analyze) gather_missing_statistics(sql);
  return {{"tables", count}, {"bytes", size_of(sql, database)}};
}

}  // namespace relight::postgres
