// postgres.check: what can be wrong with a database that opens.
#include <algorithm>
#include <chrono>

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/step/via.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/database_server.h"
#include "steps/postgres/lib/soundness.h"

namespace relight {
namespace {

using namespace postgres;

constexpr const char* what_failed = "the database is not sound";
constexpr std::size_t most_told = 10;

const std::vector<std::string> kinds{"checksums", "indexes", "collations", "extensions",
                                     "sequences", "rows",    "pages"};

// {"public.notes": 1204}, as postgres.dump has counted them.
Json rows_of(const Params& params) {
  if (!params.has("backup")) return Json::object();
  const std::string path = sys::absolute(params.text("backup"));
  const Json set = Json::parse(sys::read_file(path), nullptr, false);
  const Json database = set.is_object() ? set.value("database", Json()) : Json();
  const Json rows = database.is_object() ? database.value("rows", Json()) : Json();
  if (!rows.is_object())
    throw Error(ErrorKind::refused, "cannot compare the rows", path,
                "it tells of no rows: database.rows is missing",
                "seal the backup with database = { rows = dump.rows }, or take `backup` out");
  return rows;
}

bool skips(const Params& params, const std::string& kind) {
  if (!params.has("skip")) return false;
  const std::vector<std::string> list = params.list("skip");
  for (const std::string& name : list)
    if (std::find(kinds.begin(), kinds.end(), name) == kinds.end())
      throw Error(ErrorKind::refused, "there is no such check", name, "`skip` names it",
                  "write one of " + sys::join(kinds, ", "));
  return std::find(list.begin(), list.end(), kind) != list.end();
}

class Check : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary =
        "check the database " + shown(params.all()["database"]) + " (" + params.text("depth") + ")";
    for (const char* field : {"database", "via", "backup"})
      if (params.has(field) && !params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
        return preview;
      }
    try {
      skips(params, "");
      rows_of(params);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const auto began = std::chrono::steady_clock::now();
    const bool full = params.text("depth") == "full";
    const Json rows = rows_of(params);
    std::map<std::string, std::string> settings = {
        {"application_name", "relight " + call.run() + " " + call.step()}};
    if (params.has("password")) settings["password"] = sys::trim(params.secret("password").view());
    if (const auto via = via_of(params, call)) settings["host"] = address_of(container_of(*via, call));
    sys::Sql sql(params.text("database"), settings);
    sql.stop_when([&call] { return call.stop_wanted(); });
    sql.execute("SET statement_timeout = 0; SET search_path = pg_catalog; SET client_min_messages = error");

    Flaws flaws;
    const auto add = [&](const char* kind, const std::function<Flaws()>& look) {
      if (skips(params, kind)) return;
      call.progress(kind, 0, 0);
      for (Flaw& flaw : look()) flaws.push_back(std::move(flaw));
    };
    add("checksums", [&] { return failed_checksums(sql); });
    add("indexes", [&] { return invalid_indexes(sql); });
    add("collations", [&] { return changed_collations(sql); });
    add("extensions", [&] { return changed_extensions(sql); });
    add("sequences", [&] { return sequences_behind(sql, full); });
    add("rows", [&] { return missing_rows(sql, rows, full); });
    Pages pages;
    if (full)
      add("pages", [&] {
        pages = check_pages(sql, [&](auto done, auto total) { call.progress("pages", done, total); });
        return pages.flaws;
      });
    refuse(params, flaws, call);
    const auto took = std::chrono::steady_clock::now() - began;
    return {{"tables", pages.tables},
            {"indexes", pages.indexes},
            {"compared", rows.size()},
            {"took", sys::show_duration(std::chrono::duration_cast<std::chrono::milliseconds>(took))}};
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }

 private:
  static void refuse(const Params& params, const Flaws& flaws, Call& call) {
    if (flaws.empty()) return;
    std::vector<std::string> what, mend;
    for (const Flaw& flaw : flaws) {
      call.log(flaw.what + "; mend: " + flaw.mend);
      if (what.size() == most_told) continue;
      what.push_back(flaw.what);
      mend.push_back(flaw.mend);
    }
    if (flaws.size() > most_told)
      what.push_back("and " + std::to_string(flaws.size() - most_told) + " more, in the step's log");
    throw Error(ErrorKind::permanent, what_failed, params.text("database"), sys::join(what, "; "),
                sys::join(mend, "; "));
  }
};

}  // namespace

extern const StepType postgres_check;
const StepType postgres_check = {
    .name = "postgres.check",
    .doc =
        "Prove that a database which opens is sound, and tell what mends it where it is not.\n"
        "quick reads the catalog: checksums that have failed, indexes that are not valid, collations and "
        "extensions in another version than this host's, sequences behind their (indexed) columns, tables of "
        "the backup that are missing or empty. full reads every page of tables and B-tree indexes besides, "
        "as "
        "pg_amcheck does (each row in its indexes, checksums on the way), all sequences, and counts the "
        "rows: "
        "fewer than the backup tells is a flaw. It fails with every flaw and its command, and changes "
        "nothing.",
    .example = "postgres.check \"sound\" { database = db.url, depth = \"full\", as = \"postgres\" }",
    .fields =
        {{"database",
          FieldType::text,
          true,
          "",
          "the database, as a URL or as libpq's keyword=value text",
          "db.url",
          {}},
         via_field("the container that the server runs in; `database` then names no host"),
         {"depth",
          FieldType::choice,
          false,
          "\"quick\"",
          "quick: seconds; full: every page is read",
          "\"full\"",
          {"quick", "full"}},
         {"backup",
          FieldType::location,
          false,
          "",
          "the backup.json whose database.rows tells how many rows there were (postgres.dump counts them)",
          "input.backup / \"backup.json\"",
          {}},
         {"skip",
          FieldType::list,
          false,
          "",
          "checks to leave out: " + sys::join(kinds, ", "),
          "{ \"extensions\" }",
          {}},
         {"password", FieldType::secret, false, "", "the login's password", "secret.file \"/root/pg\"", {}}},
    .outputs = {{"tables", "how many tables' pages were read"},
                {"indexes", "how many indexes' pages were read"},
                {"compared", "how many tables were compared with the backup"},
                {"took", "how long it took"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .make = make_step<Check>,
};

}  // namespace relight
